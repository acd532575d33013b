import { randomUUID } from 'node:crypto'
import { conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { insertRow, rowsWhere } from '../db/rows.ts'
import type { NetworkRow, PortRow, SubnetRow } from '../db/tables.ts'
import { vifTypesOn } from './bindings.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { memberAddresses } from './group-addresses.ts'
import { refuseClaims } from './held-ports.ts'
import { allocationRows, chooseAllAddresses } from './ipam.ts'
import { networkNoun } from './networks.ts'
import { seeRows } from './noun.ts'
import { loadPorts, type Port } from './port.ts'
import { tellMembersChanged, tellPortChanged } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'
import { type AskedPort, checkSecurity, type GroupWish, groupsFor, plainColumns } from './port-rules.ts'
import { recordPorts } from './port-steps.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { addDefaultGroups, defaultGroupLock, ensureDefaultGroups } from './security-groups.ts'

/** A group that a port is given does not go away meanwhile. */
export const groupLocks = (asked: Partial<AskedPort>) => (asked.security_groups ?? []).map((id) => `group:${id}`)

type NewPort = AskedPort & { project_id: string }

/** All or none. A port whose id is given and there already is answered as it is. @throws Fault 400, 404, 409 */
export async function createPorts(context: NetworkContext, viewer: Viewer, asked: AskedPort[]): Promise<Port[]> {
  const wanted = asked.map((one) => ({ ...one, id: one.id ?? randomUUID(), project_id: one.project_id ?? viewer.projectId }))
  const byId = async (db: Handle) =>
    new Map(
      (
        await loadPorts(
          db,
          asked.flatMap((one) => one.id ?? []),
        )
      ).map((port) => [port.id, port]),
    )
  const known = await byId(context.database.db)
  const fresh = wanted.filter((one) => !known.has(one.id))
  const networkIds = fresh.map((one) => one.network_id)
  await seeRows(context.database.db, networkNoun, viewer, networkIds)
  const projects = fresh.map((one) => one.project_id)
  await ensureDefaultGroups(context, projects)
  const locks = [
    ...projects.flatMap((project) => [quotaLock('port', project), defaultGroupLock(project)]),
    ...networkIds.map((id) => `network:${id}`),
    ...fresh.flatMap(groupLocks),
  ]
  return await mutate(context, locks, async (work) => {
    await checkQuota(work, 'port', projects)
    const there = await byId(work.trx)
    const lacking = new Map(fresh.filter((one) => !there.has(one.id)).map((one) => [one.id, one]))
    for (const port of await insertPorts(work, viewer, [...lacking.values()])) there.set(port.id, port)
    return wanted.map(({ id }) => there.get(id) ?? known.get(id)!)
  })
}

/** Within a transaction that holds the locks of their networks. */
async function insertPorts(work: Work, viewer: Viewer, asked: NewPort[]): Promise<Port[]> {
  const { trx, context } = work
  const begun = performance.now()
  const ids = asked.map((one) => one.network_id)
  const networks = await seeRows(trx, networkNoun, viewer, ids)
  const networkOf = (port: { network_id: string }): NetworkRow => networks.get(port.network_id)!
  await refuseKnownMacs(
    work,
    asked.filter((one) => one.mac_address !== undefined).map((one) => ({ network_id: one.network_id, mac_address: one.mac_address! })),
  )
  const vifTypeOn = await vifTypesOn(
    trx,
    asked.map((one) => one['binding:host_id'] ?? ''),
  )
  const rows = asked.map((one) => portRow(one, networkOf(one), vifTypeOn))
  await refuseClaims(trx, rows)
  const groups = await groupsOf(
    work,
    viewer,
    asked.map((one, i) => ({
      projectId: one.project_id,
      asked: rows[i]!.port_security === 1 ? one.security_groups : (one.security_groups ?? []),
    })),
  )
  for (const [i, row] of rows.entries()) checkSecurity(row, groups[i]!)
  const subnets = await subnetsOf(trx, ids)
  const wishes = rows.map((row, i) => ({
    networkId: row.network_id,
    subnets: subnets.get(row.network_id) ?? [],
    macAddress: row.mac_address,
    deviceOwner: row.device_owner,
    asked: asked[i]!.fixed_ips ?? undefined,
  }))
  const ips = await chooseAllAddresses(work, wishes)
  const ports = rows.map((row, i) => ({
    ...row,
    fixedIps: ips[i]!,
    securityGroups: groups[i]!.sort(),
    dnsDomain: networkOf(row).dns_domain,
  }))
  await insertRow(trx, 'ports', rows)
  const allocations = ports.flatMap((port) => allocationRows(port.id, port.network_id, port.fixedIps))
  await insertRow(trx, 'allocations', allocations)
  await insertRow(trx, 'port_security_groups', ports.flatMap(groupRows))
  for (const port of ports) tellPort(work, port, port.securityGroups, memberAddresses(port, addressesOf(port)))
  const servers = ports.filter((port) => !isOwn(port.device_owner) && port.device_id)
  const ms = performance.now() - begun
  work.after.push(() =>
    recordPorts(
      context,
      viewer,
      servers.map((port) => ({ port, network: networkOf(port) })),
      ms,
    ),
  )
  return ports
}

/** A default group that was deleted since it was looked for is made again. */
async function groupsOf(work: Work, viewer: Viewer, wishes: GroupWish[]): Promise<string[][]> {
  const groups = await groupsFor(work.trx, wishes, viewer.isAdmin)
  const lacking = wishes.filter(({ asked }, i) => !asked && groups[i]!.length === 0).map((one) => one.projectId)
  if (lacking.length === 0) return groups
  await addDefaultGroups(work, [...new Set(lacking)])
  return await groupsFor(work.trx, wishes, viewer.isAdmin)
}

const isOwn = (deviceOwner: string) => deviceOwner.startsWith('network:')
const addressesOf = (port: Port) => port.fixedIps.map((ip) => ip.address)
export const groupRows = ({ id, securityGroups }: Pick<Port, 'id' | 'securityGroups'>) =>
  securityGroups.map((security_group_id) => ({ port_id: id, security_group_id }))

function portRow(asked: NewPort, network: NetworkRow, vifTypeOn: (host: string) => string): PortRow {
  const macAddress = asked.mac_address?.toLowerCase() ?? newMac()
  const deviceOwner = asked.device_owner ?? ''
  const host = asked['binding:host_id'] ?? ''
  return {
    ...newPortRow({
      id: asked.id,
      name: asked.name,
      description: asked.description,
      tags: asked.tags,
      projectId: asked.project_id,
      networkId: network.id,
      macAddress,
      deviceId: asked.device_id ?? '',
      deviceOwner,
    }),
    port_security: isOwn(deviceOwner) ? 0 : network.port_security,
    ...plainColumns(asked, macAddress),
    host,
    vif_type: vifTypeOn(host),
  }
}

/** @throws Fault 409 when a network has such a MAC address already, or two of these ask for it */
export async function refuseKnownMacs({ trx }: Work, asked: Pick<PortRow, 'network_id' | 'mac_address'>[]): Promise<void> {
  if (asked.length === 0) return
  const wanted = asked.map((one) => ({ ...one, mac_address: one.mac_address.toLowerCase() }))
  const key = (one: Pick<PortRow, 'network_id' | 'mac_address'>) => `${one.network_id} ${one.mac_address}`
  const there = await trx
    .selectFrom('ports')
    .select(['network_id', 'mac_address'])
    .where('network_id', 'in', [...new Set(wanted.map((one) => one.network_id))])
    .where('mac_address', 'in', [...new Set(wanted.map((one) => one.mac_address))])
    .execute()
  const known = new Set(there.map(key))
  for (const one of wanted) {
    if (known.has(key(one)))
      throw conflict(
        `Unable to complete operation for network ${one.network_id}. The mac address ${one.mac_address} is in use.`,
        'MacAddressInUse',
      )
    known.add(key(one))
  }
}

/** By network, in the order in which they were made. */
export async function subnetsOf(db: Handle, networkIds: string[]): Promise<Map<string, SubnetRow[]>> {
  const subnets = await rowsWhere(db, 'subnets', 'network_id', networkIds)
  subnets.sort((a, b) => a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id))
  return Map.groupBy(subnets, (subnet) => subnet.network_id)
}

/** Agents look again: at the port, and at the groups that list its addresses; those of a new port are `joined`. */
export function tellPort(work: Work, port: PortRow, groups: string[], joined?: string[]): void {
  work.after.push(() => tellPortChanged(work.context, port))
  tellMembersChanged(work, groups, joined)
}
