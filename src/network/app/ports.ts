import { Raced } from '../../kernel/db/database.ts'
import { conflict, Fault } from '../../kernel/errors/errors.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { PortRow } from '../db/tables.ts'
import { vifTypesOn } from './bindings.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { type Holder, holderLocks, holderOf, refuseClaims, refuseReaddress, refuseTaking, settleRouter } from './held-ports.ts'
import { allocationRows, chooseAddresses } from './ipam.ts'
import { groupLocks, groupRows, refuseKnownMacs, subnetsOf, tellPort } from './new-ports.ts'
import { missing, seeRow } from './noun.ts'
import { loadPort, type Port, portNoun } from './port.ts'
import { isServers, removePortRows } from './port-removal.ts'
import { type AskedPort, checkSecurity, groupsFor, plainColumns } from './port-rules.ts'
import { recordPorts } from './port-steps.ts'
import { named } from './standard.ts'
import { STATUS_LOCK, settleStatus } from './status.ts'

/** @throws Fault 400, 404, 409, 412 when it is not at that `revision` */
export async function updatePort(
  context: NetworkContext,
  viewer: Viewer,
  id: string,
  asked: Partial<AskedPort>,
  revision?: number,
): Promise<Port> {
  const begun = performance.now()
  const seen = await seeRow(context.database.db, portNoun, viewer, id)
  const locks = [`network:${seen.network_id}`, `port:${id}`, STATUS_LOCK, ...groupLocks(asked), ...holderLocks(seen)]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const now = await loadPort(trx, id)
    if (!now) throw missing(portNoun, id)
    if (revision !== undefined && Number(now.revision) !== revision)
      throw new Fault(412, 'RevisionNumberConstraintFailed', `Port ${id} is at revision ${now.revision}, not at ${revision}.`)
    const [network] = await rowsWhere(trx, 'networks', 'id', [now.network_id])
    const macAddress = asked.mac_address?.toLowerCase() ?? now.mac_address
    if (macAddress !== now.mac_address) await refuseKnownMacs(work, [{ network_id: now.network_id, mac_address: macAddress }])
    const columns: Partial<PortRow> = { ...named(asked), ...plainColumns(asked, macAddress), mac_address: macAddress }
    const host = asked['binding:host_id']
    if (host !== undefined) {
      const binding = { host: host ?? '', vif_type: (await vifTypesOn(trx, [host ?? '']))(host ?? '') }
      Object.assign(columns, binding, binding.host === now.host ? {} : { wired: 0 })
    }
    const after = { ...now, ...columns }
    const holder = await holderOf(trx, now)
    if (holder) refuseTaking({ ...now, device_id: seen.device_id, device_owner: seen.device_owner }, after)
    else if (after.device_owner !== now.device_owner || after.device_id !== now.device_id) await refuseClaims(trx, [after])
    const groups =
      asked.security_groups === undefined
        ? now.securityGroups
        : (await groupsFor(trx, [{ projectId: now.project_id, asked: asked.security_groups ?? [] }], viewer.isAdmin))[0]!
    checkSecurity(after, groups)
    if (asked.security_groups !== undefined) await setGroups(work, { id, securityGroups: groups })
    if (asked.fixed_ips !== undefined) await readdress(work, after, asked.fixed_ips ?? [], holder)
    if (!(await updateRow(trx, 'ports', id, columns, revision))) throw new Raced()
    await settleStatus(work, [after])
    tellPort(work, now, sameMembership(now, after, asked) ? [] : [...new Set([...now.securityGroups, ...groups])])
    const port = (await loadPort(trx, id))!
    if (!now.device_id && isServers(port)) {
      const ms = performance.now() - begun
      work.after.push(() => recordPorts(context, viewer, [{ port, network: network! }], ms))
    }
    return port
  })
}

/** Whether its groups list the same addresses as before. */
const sameMembership = (before: Port, after: PortRow, asked: Partial<AskedPort>): boolean =>
  asked.security_groups === undefined && asked.fixed_ips === undefined && before.allowed_address_pairs === after.allowed_address_pairs

async function setGroups({ trx }: Work, port: Pick<Port, 'id' | 'securityGroups'>): Promise<void> {
  await trx.deleteFrom('port_security_groups').where('port_id', '=', port.id).execute()
  await insertRow(trx, 'port_security_groups', groupRows(port))
}

async function readdress(work: Work, port: Port, asked: NonNullable<AskedPort['fixed_ips']>, holder: Holder | null): Promise<void> {
  const { trx } = work
  const subnets = (await subnetsOf(trx, [port.network_id])).get(port.network_id) ?? []
  const ips = await chooseAddresses(work, {
    networkId: port.network_id,
    subnets,
    macAddress: port.mac_address,
    deviceOwner: port.device_owner,
    asked,
    kept: port.fixedIps,
  })
  const used = (await rowsWhere(trx, 'floatingips', 'port_id', [port.id])).find(
    ({ fixed_ip_address }) => !ips.some((one) => one.address === fixed_ip_address),
  )
  if (used)
    throw conflict(`Port ${port.id} cannot lose the address ${used.fixed_ip_address}: floating IP ${used.id} leads to it.`, 'PortInUse')
  if (holder) {
    const [before, now] = [port.fixedIps, ips].map((all) => subnets.filter((one) => all.some((ip) => ip.subnetId === one.id)))
    await refuseReaddress(work, holder, port, {
      all: now!,
      given: now!.filter((one) => !before!.includes(one)),
      taken: before!.filter((one) => !now!.includes(one)),
    })
  }
  await trx.deleteFrom('allocations').where('port_id', '=', port.id).execute()
  await insertRow(trx, 'allocations', allocationRows(port.id, port.network_id, ips))
  if (holder) settleRouter(work, holder)
}

/** Ports of routers and floating addresses go with those. @throws Fault 404, 409 */
export async function deletePort(context: NetworkContext, port: Port): Promise<void> {
  await mutate(context, [`network:${port.network_id}`, `port:${port.id}`], async (work) => {
    const [now] = await rowsWhere(work.trx, 'ports', 'id', [port.id])
    if (!now) throw missing(portNoun, port.id)
    if (await holderOf(work.trx, now))
      throw conflict(
        `Port ${port.id} cannot be deleted directly via the port API: has device owner ${now.device_owner}.`,
        'ServicePortInUse',
      )
    await removePortRows(work, [now])
  })
}
