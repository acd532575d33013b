import { now } from '../../kernel/trace/trace.ts'
import { rowsWhere, updateRow } from '../db/rows.ts'
import type { PortRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { mutate, type NetworkContext, type Work } from './context.ts'
import { dressPorts } from './port.ts'
import { recordOf } from './port-steps.ts'
import { routerLock } from './router.ts'
import { STATUS_LOCK, settleStatus } from './status.ts'

/** The switch of `host` carries these ports, or does not. */
export async function wired(context: NetworkContext, host: string, portIds: string[], up: boolean): Promise<void> {
  await mutate(context, [STATUS_LOCK], async (work) => {
    const ports = (await rowsWhere(work.trx, 'ports', 'id', portIds)).filter((port) => concerns(port, host))
    await settle(work, ports, { wired: Number(up) })
  })
}

/** What the ports' status hangs on is so now. */
async function settle(work: Work, ports: PortRow[], now: Partial<Pick<PortRow, 'wired' | 'dhcp_ready'>>): Promise<void> {
  if (ports.length === 0) return
  const ids = ports.map((port) => port.id)
  await work.trx.updateTable('ports').set(now).where('id', 'in', ids).execute()
  await settleStatus(
    work,
    ports.map((port) => ({ ...port, ...now })),
  )
}

/** What another host says of a port that has moved on is late. */
const concerns = (port: PortRow, host: string) => port.host === '' || port.host === host

/** Step 20: the address service knows these ports. */
export async function dhcpReady(
  context: NetworkContext,
  { networkId, portIds, hostFile }: { networkId: string; portIds: string[]; hostFile: string },
): Promise<void> {
  const fresh = await mutate(context, [STATUS_LOCK], async (work) => {
    const ports = (await rowsWhere(work.trx, 'ports', 'id', portIds)).filter(
      (port) => port.network_id === networkId && port.dhcp_ready === 0,
    )
    await settle(work, ports, { dhcp_ready: 1 })
    return await dressPorts(work.trx, ports)
  })
  for (const port of fresh) {
    if (!port.device_id || port.device_owner.startsWith('network:')) continue
    const startedAt = Date.parse(port.created_at)
    const addresses = port.fixedIps.map((ip) => ip.address).join(', ')
    recordOf(port, {
      step: 20,
      name: 'dhcp-entry',
      startedAt,
      ms: Math.max(0, now() - startedAt),
      evidence: { text: `${addresses} for ${port.mac_address} in ${hostFile}`, hostFile },
    })
  }
}

/** Step 38: a guest took its address. */
export async function leaseSeen(
  { database: { db } }: NetworkContext,
  lease: { networkId: string; macAddress: string; address: string; line: string; at: number; startedAt: number | null },
): Promise<void> {
  const port = await db
    .selectFrom('ports')
    .select(['id', 'device_id'])
    .where('network_id', '=', lease.networkId)
    .where('mac_address', '=', lease.macAddress.toLowerCase())
    .executeTakeFirst()
  if (!port) return
  const startedAt = lease.startedAt ?? lease.at
  recordOf(port, {
    step: 38,
    name: 'dhcp-lease',
    startedAt,
    ms: Math.max(0, lease.at - startedAt),
    evidence: { text: lease.line, address: lease.address, macAddress: lease.macAddress },
  })
}

/** Step 41: floating addresses are in place, or could not be put there. */
export async function routerReady(
  context: NetworkContext,
  report: { host: string; routerId: string; floatingIps: { id: string; status: 'ACTIVE' | 'ERROR'; rules: string[] }[] },
): Promise<void> {
  if (report.floatingIps.length === 0) return
  const fresh = await mutate(context, [routerLock(report.routerId)], async ({ trx }) => {
    const [router] = await rowsWhere(trx, 'routers', 'id', [report.routerId])
    if (router?.host !== report.host) return [] // it has moved on since
    const rows = await rowsWhere(
      trx,
      'floatingips',
      'id',
      report.floatingIps.map((one) => one.id),
    )
    const changed = rows.flatMap((row) => {
      const said = report.floatingIps.find((one) => one.id === row.id)!
      return row.router_id === report.routerId && row.status !== said.status ? [{ ...row, status: said.status, rules: said.rules }] : []
    })
    for (const { id, status } of changed) await updateRow(trx, 'floatingips', id, { status })
    const ports = await rowsWhere(
      trx,
      'ports',
      'id',
      changed.flatMap((one) => one.port_id ?? []),
    )
    return changed.map((one) => ({ ...one, port: ports.find((port) => port.id === one.port_id) }))
  })
  for (const { port, status, rules, floating_ip_address, fixed_ip_address, associated_at } of fresh) {
    if (!port || status !== 'ACTIVE') continue
    const startedAt = associated_at ? Date.parse(associated_at) : now()
    recordOf(port, {
      step: 41,
      name: 'floating-ip',
      startedAt,
      ms: Math.max(0, now() - startedAt),
      evidence: { text: `${floating_ip_address} leads to ${fixed_ip_address}`, routerId: report.routerId, rules },
    })
  }
}

/** The port that has this address on a network, or behind a router. */
export async function portByAddress(
  { database: { db } }: NetworkContext,
  { networkId, routerId, address }: { networkId?: string; routerId?: string; address: string },
): Promise<{ portId: string; instanceId: string; projectId: string } | null> {
  let query = db
    .selectFrom('allocations as a')
    .innerJoin('ports as p', 'p.id', 'a.port_id')
    .select(['p.id', 'p.device_id', 'p.project_id'])
    .where('a.address', '=', address)
    .where('p.device_owner', 'not like', 'network:%')
  if (networkId !== undefined) query = query.where('a.network_id', '=', networkId)
  else if (routerId !== undefined)
    query = query.where('a.network_id', 'in', (eb) =>
      eb.selectFrom('ports').select('network_id').where('device_id', '=', routerId).where('device_owner', '=', 'network:router_interface'),
    )
  else return null
  const found = await query.execute()
  if (found.length !== 1) return null
  const [port] = found
  return { portId: port!.id, instanceId: port!.device_id, projectId: port!.project_id }
}

/** A host says where its tunnels end and hears where the others' do. */
export async function tunnelEndpoints(
  context: NetworkContext,
  { host, type, address }: { host: string; type: string; address: string },
): Promise<{ host: string; address: string }[]> {
  return await mutate(context, [], async ({ trx, after }) => {
    const known = await trx.selectFrom('tunnel_endpoints').selectAll().where('type', '=', type).orderBy('host').execute()
    const own = known.find((one) => one.host === host)
    if (!own) await trx.insertInto('tunnel_endpoints').values({ host, type, address }).execute()
    else if (own.address !== address)
      await trx.updateTable('tunnel_endpoints').set({ address }).where('host', '=', host).where('type', '=', type).execute()
    if (own?.address !== address) after.push(() => context.bus.publish(events.tunnelsChanged, { host }))
    return [...known.filter((one) => one.host !== host), { host, address }].map((one) => ({ host: one.host, address: one.address }))
  })
}
