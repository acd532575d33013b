import { fromJson } from '../../kernel/db/columns.ts'
import type { InstanceRow } from '../db/tables.ts'
import type { FlavorSpec, ImageSpec, InstanceSpec, Vif } from '../rpc.ts'

/** What the user asked for beside the row's own columns; kept so that a build can be made again (rebuild, alternates). */
export interface ServerRequest {
  /** One entry a port, in order. `portId` is always there: that of a port which exists (`given`), or of one to be made; without `networkId` on a network that is allocated automatically. */
  networks: { portId: string; networkId: string | null; fixedIp: string | null; given: boolean; tag: string | null }[]
  hints: Record<string, unknown>
  /** `--availability-zone zone:host:node`. */
  forcedHost: string | null
  forcedNode: string | null
  image: ImageSpec | null
  /** What its root disk stands on, where that is another: what was kept of it while it was shelved. */
  baseImage?: ImageSpec | null
  /** Of a shelved server: where its disk is kept. */
  shelvedImageId?: string | null
  /** Hosts that failed to build it. */
  triedHosts: string[]
  trustedCertificates: string[] | null
}

export const requestOf = (row: InstanceRow): ServerRequest => fromJson(row.request_json)
/** What its root disk stands on. */
export const baseImageOf = (row: InstanceRow): ImageSpec | null => requestOf(row).baseImage ?? requestOf(row).image
export const flavorOf = (row: InstanceRow): FlavorSpec => fromJson(row.flavor_json)
export const vifsOf = (row: InstanceRow): Vif[] => fromJson(row.network_info_json)
/** The cards in the order in which they were asked for, those that were attached later behind them: a guest's first card is the one that leads out. */
export function asAskedFor(row: InstanceRow, vifs: Vif[]): Vif[] {
  const places = new Map(requestOf(row).networks.map(({ portId }, place) => [portId, place]))
  const placeOf = ({ portId }: Vif) => places.get(portId) ?? places.size
  return vifs.toSorted((one, other) => placeOf(one) - placeOf(other))
}
export const domainNameOf = (number: number): string => `instance-${number.toString(16).padStart(8, '0')}`

/** All that a host must know of a server. The password is known only while it is built. */
export function specOf(row: InstanceRow, adminPass = ''): InstanceSpec {
  return {
    uuid: row.id,
    number: Number(row.number),
    domainName: domainNameOf(Number(row.number)),
    displayName: row.name,
    hostname: row.hostname,
    projectId: row.project_id,
    userId: row.user_id,
    reservationId: row.reservation_id,
    launchIndex: Number(row.launch_index),
    availabilityZone: row.zone ?? row.requested_zone ?? '',
    createdAt: row.created_at,
    flavor: flavorOf(row),
    image: requestOf(row).image,
    keyPair: fromJson(row.key_json),
    userData: row.user_data,
    metadata: fromJson(row.metadata_json),
    tags: fromJson(row.tags_json),
    configDrive: row.config_drive === 1,
    files: fromJson(row.files_json),
    adminPass,
    securityGroups: securityGroupNames(row),
  }
}

/** What a host is given for flavor and image: whether the root disk is the image's overlay. */
export const imageBacked = (row: InstanceRow): boolean => requestOf(row).image !== null

const securityGroupNames = (row: InstanceRow): string[] => {
  const groups = fromJson<{ name: string }[]>(row.security_groups_json).map((one) => one.name)
  return groups.length > 0 ? groups : ['default']
}
