import type { FlavorSpec, ImageSpec } from '../../rpc.ts'

/** Step 10: what the scheduler is asked, made by the conductor from flavor, image and the user's hints. */
export interface RequestSpec {
  serverId: string
  projectId: string
  flavor: FlavorSpec
  image: ImageSpec | null
  /** Boots from a volume: its root disk takes no room on the host. */
  volumeBacked: boolean
  zone: string | null
  forcedHost: string | null
  forcedNode: string | null
  ignoreHosts: string[]
  hints: Record<string, unknown>
  group: { id: string; policy: string; maxPerHost: number } | null
  /** What placement is asked for. */
  resources: Record<string, number>
}

export function resourcesOf(flavor: FlavorSpec, volumeBacked: boolean): Record<string, number> {
  const disk = (volumeBacked ? 0 : flavor.rootGiB) + flavor.ephemeralGiB + Math.ceil(flavor.swapMiB / 1024)
  return { VCPU: flavor.vcpus, MEMORY_MB: flavor.ramMiB, ...(disk > 0 ? { DISK_GB: disk } : {}) }
}
