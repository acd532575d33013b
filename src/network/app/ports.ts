import { randomUUID } from 'node:crypto'
import { conflict } from '../../kernel/errors/errors.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { NetworkRow, PortRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { vifTypeOn } from './bindings.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { memberAddresses } from './group-addresses.ts'
import { allocationRows, chooseAddresses } from './ipam.ts'
import { networkNoun } from './networks.ts'
import { missing, seeRow } from './noun.ts'
import { loadPort, type Port, portNoun } from './port.ts'
import { isServers, removePortRow, tellMembersChanged } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'
import { type AskedPort, checkSecurity, groupsFor, plainColumns } from './port-rules.ts'
import { recordPort } from './port-steps.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { ensureDefaultGroup } from './security-groups.ts'
import { named } from './standard.ts'
import { STATUS_LOCK, settleStatus } from './status.ts'

/** A group that a port is given does not go away meanwhile. */
const groupLocks = (asked: Partial<AskedPort>) => (asked.security_groups ?? []).map((id) => `group:${id}`)

/** All or none. A port whose id is given and there already is answered as it is. @throws Fault 400, 404, 409 */
export async function createPorts(context: NetworkContext, viewer: Viewer, asked: AskedPort[]): Promise<Port[]> {
  const known = new Map<string, Port>()
  for (const { id } of asked) {
    const port = id === undefined ? undefined : await loadPort(context.database.db, id)
    if (port) known.set(port.id, port)
  }
  const fresh = asked.filter((one) => one.id === undefined || !known.has(one.id))
  for (const one of fresh) await seeRow(context.database.db, networkNoun, viewer, one.network_id)
  const projectOf = (one: AskedPort) => one.project_id ?? viewer.projectId
  const projects = fresh.map(projectOf)
  for (const project of new Set(projects)) await ensureDefaultGroup(context, project)
  const locks = [
    ...projects.map((project) => quotaLock('port', project)),
    ...fresh.flatMap((one) => [`network:${one.network_id}`, ...groupLocks(one)]),
  ]
  return await mutate(context, locks, async (work) => {
    for (const [project, mine] of Map.groupBy(projects, (one) => one)) await checkQuota(work, 'port', project, mine.length)
    const made: Port[] = []
    for (const one of asked) made.push(known.get(one.id ?? '') ?? (await createPort(work, viewer, projectOf(one), one)))
    return made
  })
}

/** One port within a transaction that holds its network's lock. */
export async function createPort(work: Work, viewer: Viewer, projectId: string, asked: AskedPort): Promise<Port> {
  const { trx, context } = work
  const begun = performance.now()
  if (asked.id !== undefined) {
    const twin = await loadPort(trx, asked.id)
    if (twin) return twin
  }
  const [network] = await rowsWhere(trx, 'networks', 'id', [asked.network_id])
  if (!network) throw missing(networkNoun, asked.network_id)
  const macAddress = asked.mac_address?.toLowerCase() ?? newMac()
  if (asked.mac_address !== undefined) await refuseKnownMac(work, network, macAddress)
  const deviceOwner = asked.device_owner ?? ''
  const ownBusiness = deviceOwner.startsWith('network:')
  const host = asked['binding:host_id'] ?? ''
  const row: PortRow = {
    ...newPortRow({
      id: asked.id ?? randomUUID(),
      name: asked.name,
      description: asked.description,
      tags: asked.tags,
      projectId,
      networkId: network.id,
      macAddress,
      deviceId: asked.device_id ?? '',
      deviceOwner,
    }),
    port_security: ownBusiness ? 0 : network.port_security,
    ...plainColumns(asked, macAddress),
    host,
    vif_type: await vifTypeOn(trx, host),
  }
  const wantsGroups = row.port_security === 1 || (asked.security_groups?.length ?? 0) > 0
  const groups = wantsGroups ? await groupsFor(trx, projectId, asked.security_groups, viewer.isAdmin) : []
  checkSecurity(row, groups)
  await insertRow(trx, 'ports', row)
  const fixedIps = await chooseAddresses(work, {
    networkId: network.id,
    subnets: await subnetsOf(work, network.id),
    macAddress,
    deviceOwner,
    asked: asked.fixed_ips ?? undefined,
  })
  await insertRow(trx, 'allocations', allocationRows(row.id, network.id, fixedIps))
  await setGroups(work, row.id, groups)
  const joined = memberAddresses(
    row,
    fixedIps.map((ip) => ip.address),
  )
  tell(work, row, groups, joined)
  const port: Port = { ...row, fixedIps, securityGroups: groups.sort(), dnsDomain: network.dns_domain }
  const ms = performance.now() - begun
  if (!ownBusiness && row.device_id) work.after.push(() => recordPort(context, viewer, port, network, ms))
  return port
}

async function refuseKnownMac({ trx }: Work, network: NetworkRow, macAddress: string): Promise<void> {
  const there = await trx
    .selectFrom('ports')
    .select('id')
    .where('network_id', '=', network.id)
    .where('mac_address', '=', macAddress)
    .executeTakeFirst()
  if (there)
    throw conflict(`Unable to complete operation for network ${network.id}. The mac address ${macAddress} is in use.`, 'MacAddressInUse')
}

async function subnetsOf({ trx }: Work, networkId: string) {
  const subnets = await rowsWhere(trx, 'subnets', 'network_id', [networkId])
  return subnets.sort((a, b) => a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id))
}

async function setGroups({ trx }: Work, portId: string, groups: string[]): Promise<void> {
  await trx.deleteFrom('port_security_groups').where('port_id', '=', portId).execute()
  await insertRow(
    trx,
    'port_security_groups',
    groups.map((security_group_id) => ({ port_id: portId, security_group_id })),
  )
}

/** Agents look again: at the port, and at the groups that list its addresses; those of a new port are `joined`. */
function tell(work: Work, port: PortRow, groups: string[], joined?: string[]): void {
  const { after, context } = work
  after.push(() => context.bus.publish(events.portChanged, { portId: port.id, networkId: port.network_id }))
  tellMembersChanged(work, groups, joined)
}

/** @throws Fault 400, 404, 409 */
export async function updatePort(context: NetworkContext, viewer: Viewer, id: string, asked: Partial<AskedPort>): Promise<Port> {
  const begun = performance.now()
  const seen = await seeRow(context.database.db, portNoun, viewer, id)
  return await mutate(context, [`network:${seen.network_id}`, `port:${id}`, STATUS_LOCK, ...groupLocks(asked)], async (work) => {
    const { trx } = work
    const now = await loadPort(trx, id)
    if (!now) throw missing(portNoun, id)
    const [network] = await rowsWhere(trx, 'networks', 'id', [now.network_id])
    const macAddress = asked.mac_address?.toLowerCase() ?? now.mac_address
    if (macAddress !== now.mac_address) await refuseKnownMac(work, network!, macAddress)
    const columns: Partial<PortRow> = { ...named(asked), ...plainColumns(asked, macAddress), mac_address: macAddress }
    const host = asked['binding:host_id']
    if (host !== undefined) {
      const binding = { host: host ?? '', vif_type: await vifTypeOn(trx, host ?? '') }
      Object.assign(columns, binding, binding.host === now.host ? {} : { wired: 0 })
    }
    const after = { ...now, ...columns }
    const groups =
      asked.security_groups === undefined
        ? now.securityGroups
        : await groupsFor(trx, now.project_id, asked.security_groups ?? [], viewer.isAdmin)
    checkSecurity(after, groups)
    if (asked.security_groups !== undefined) await setGroups(work, id, groups)
    if (asked.fixed_ips !== undefined) await readdress(work, after, asked.fixed_ips ?? [])
    await updateRow(trx, 'ports', id, columns)
    await settleStatus(work, [id])
    tell(work, now, sameMembership(now, after, asked) ? [] : [...new Set([...now.securityGroups, ...groups])])
    const port = (await loadPort(trx, id))!
    if (!now.device_id && isServers(port)) work.after.push(() => recordPort(context, viewer, port, network!, performance.now() - begun))
    return port
  })
}

/** Whether its groups list the same addresses as before. */
const sameMembership = (before: Port, after: PortRow, asked: Partial<AskedPort>): boolean =>
  asked.security_groups === undefined && asked.fixed_ips === undefined && before.allowed_address_pairs === after.allowed_address_pairs

async function readdress(work: Work, port: Port, asked: NonNullable<AskedPort['fixed_ips']>): Promise<void> {
  const { trx } = work
  const ips = await chooseAddresses(work, {
    networkId: port.network_id,
    subnets: await subnetsOf(work, port.network_id),
    macAddress: port.mac_address,
    deviceOwner: port.device_owner,
    asked,
    kept: port.fixedIps,
  })
  const lost = port.fixedIps.filter((ip) => !ips.some((one) => one.address === ip.address))
  for (const { address } of lost) {
    const used = await trx
      .selectFrom('floatingips')
      .select('id')
      .where('port_id', '=', port.id)
      .where('fixed_ip_address', '=', address)
      .executeTakeFirst()
    if (used) throw conflict(`Port ${port.id} cannot lose the address ${address}: floating IP ${used.id} leads to it.`, 'PortInUse')
  }
  await trx.deleteFrom('allocations').where('port_id', '=', port.id).execute()
  await insertRow(trx, 'allocations', allocationRows(port.id, port.network_id, ips))
}

const ROUTERS = ['network:router_interface', 'network:router_gateway', 'network:floatingip']

/** Ports of routers and floating addresses go with those. @throws Fault 404, 409 */
export async function deletePort(context: NetworkContext, port: Port): Promise<void> {
  if (ROUTERS.includes(port.device_owner) && port.device_id)
    throw conflict(
      `Port ${port.id} cannot be deleted directly via the port API: has device owner ${port.device_owner}.`,
      'ServicePortInUse',
    )
  await mutate(context, [`network:${port.network_id}`, `port:${port.id}`], async (work) => {
    const [now] = await rowsWhere(work.trx, 'ports', 'id', [port.id])
    if (!now) throw missing(portNoun, port.id)
    await removePortRow(work, now)
  })
}
