import type { InstanceRow } from '../../db/tables.ts'
import type { FlavorSpec, ImageSpec } from '../../rpc.ts'
import type { ComputeContext } from '../context.ts'
import { imageBacked, requestOf } from '../instance-spec.ts'

/** What a user or an operator wishes of the host. */
export interface HostWishes {
  hints: Record<string, unknown>
  zone: string | null
  forcedHost: string | null
  forcedNode: string | null
  ignoreHosts: string[]
}

/** Step 10: what the scheduler is asked, made by the conductor from flavor, image and the user's hints. */
export interface RequestSpec extends HostWishes {
  serverId: string
  projectId: string
  flavor: FlavorSpec
  image: ImageSpec | null
  /** Boots from a volume: its root disk takes no room on the host. */
  volumeBacked: boolean
  group: { id: string; policy: string; maxPerHost: number } | null
  /** What placement is asked for. */
  resources: Record<string, number>
}

export function resourcesOf(flavor: FlavorSpec, volumeBacked: boolean): Record<string, number> {
  const disk = (volumeBacked ? 0 : flavor.rootGiB) + flavor.ephemeralGiB + Math.ceil(flavor.swapMiB / 1024)
  return { VCPU: flavor.vcpus, MEMORY_MB: flavor.ramMiB, ...(disk > 0 ? { DISK_GB: disk } : {}) }
}

/** For a server as it would be with this flavor. */
export async function requestSpecOf(
  { database: { db } }: ComputeContext,
  row: InstanceRow,
  flavor: FlavorSpec,
  wishes: HostWishes,
): Promise<RequestSpec> {
  const volumeBacked = !imageBacked(row)
  const group = row.group_id
    ? await db.selectFrom('server_groups').selectAll().where('id', '=', row.group_id).executeTakeFirst()
    : undefined
  return {
    serverId: row.id,
    projectId: row.project_id,
    flavor,
    image: requestOf(row).image,
    volumeBacked,
    ...wishes,
    group: group ? { id: group.id, policy: group.policy, maxPerHost: JSON.parse(group.rules_json).max_server_per_host ?? 1 } : null,
    resources: resourcesOf(flavor, volumeBacked),
  }
}
