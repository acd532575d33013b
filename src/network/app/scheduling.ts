import { rowsWhere, updateRow, updateRows } from '../db/rows.ts'
import { events } from '../rpc.ts'
import { mutate, type NetworkContext, type Work } from './context.ts'
import { addDhcpPorts, hasDhcp } from './dhcp-port.ts'
import { tellPortChanged } from './port-removal.ts'
import { portsOfRouter, routerLock, tellRouter } from './router.ts'
import { candidates, DHCP_HOSTS, hostsForRouters } from './serving-hosts.ts'

/** The router with all its ports is on this host from now on, or on none. Behind the router's lock. */
export async function placeRouter(work: Work, routerId: string, host: string): Promise<void> {
  const { trx } = work
  await updateRow(trx, 'routers', routerId, { host })
  // until the agent there says that they are in place
  await trx.updateTable('floatingips').set({ status: 'DOWN' }).where('router_id', '=', routerId).execute()
  await movePorts(work, await portsOfRouter(trx, routerId), host)
  tellRouter(work, routerId)
}

async function movePorts({ trx, after, context }: Work, ports: { id: string; network_id: string }[], host: string): Promise<void> {
  const ids = ports.map((port) => port.id)
  await updateRows(trx, 'ports', ids, { host, vif_type: host ? 'ovs' : 'unbound', wired: 0, status: 'DOWN' })
  for (const port of ports)
    after.push(() => {
      tellPortChanged(context, port)
      context.bus.publish(events.networkChanged, { networkId: port.network_id })
    })
}

/** An agent that starts takes what nobody serves, and networks that too few serve. */
export async function giveWork(context: NetworkContext, host: string, agentType: string): Promise<void> {
  const { db } = context.database
  if (agentType === 'L3 agent') {
    for (const { id } of await rowsWhere(db, 'routers', 'host', ['']))
      await mutate(context, [routerLock(id)], async (work) => {
        const [now] = await rowsWhere(work.trx, 'routers', 'id', [id])
        if (now?.host === '') await placeRouter(work, id, host)
      })
    return
  }
  if (agentType !== 'DHCP agent') return
  const networks = await db.selectFrom('subnets').select('network_id').where('enable_dhcp', '=', 1).distinct().execute()
  const servers = Map.groupBy(await rowsWhere(db, 'ports', 'device_owner', ['network:dhcp']), (port) => port.network_id)
  for (const { network_id } of networks) {
    const hosts = (servers.get(network_id) ?? []).map((port) => port.host)
    if (!hosts.includes(host) && hosts.filter(Boolean).length < DHCP_HOSTS) await serveOn(context, network_id, host)
  }
}

/** A server that no host has is taken over; else there is one more. */
async function serveOn(context: NetworkContext, networkId: string, host: string): Promise<void> {
  await mutate(context, [`network:${networkId}`], async (work) => {
    const servers = (await rowsWhere(work.trx, 'ports', 'network_id', [networkId])).filter((port) => port.device_owner === 'network:dhcp')
    if (servers.some((port) => port.host === host) || !(await hasDhcp(work.trx, networkId))) return
    const orphan = servers.find((port) => port.host === '')
    if (orphan) await movePorts(work, [orphan], host)
    else if (servers.length < DHCP_HOSTS) await addDhcpPorts(work, [{ networkId, host }])
    work.after.push(() => context.bus.publish(events.networkChanged, { networkId }))
  })
}

/** What the hosts that died served goes to others, as far as there are others. Answers in words. */
export async function takeOver(context: NetworkContext): Promise<string[]> {
  const { heartbeats, database } = context
  if (!heartbeats.someDied()) return []
  const { db } = database
  const done: string[] = []
  const hostsOf = async (table: 'routers' | 'ports') =>
    (await db.selectFrom(table).select('host').distinct().execute()).map((row) => row.host).filter((host) => heartbeats.isDead(host))
  for (const { id, host } of await rowsWhere(db, 'routers', 'host', await hostsOf('routers')))
    await mutate(context, [routerLock(id)], async (work) => {
      const [now] = await rowsWhere(work.trx, 'routers', 'id', [id])
      const [next] = await hostsForRouters(work.trx, context, 1)
      if (now?.host !== host || !next) return
      await placeRouter(work, id, next)
      done.push(`router ${id}: from ${host}, which is silent, to ${next}`)
    })
  const lost = (await rowsWhere(db, 'ports', 'host', await hostsOf('ports'))).filter((port) => port.device_owner === 'network:dhcp')
  for (const { id, host, network_id } of lost)
    await mutate(context, [`network:${network_id}`], async (work) => {
      const servers = (await rowsWhere(work.trx, 'ports', 'network_id', [network_id])).filter(
        (port) => port.device_owner === 'network:dhcp',
      )
      const next = (await candidates(work.trx, context, 'DHCP agent')).find((one) => !servers.some((port) => port.host === one))
      const now = servers.find((port) => port.id === id)
      if (now?.host !== host || next === undefined) return
      await movePorts(work, [now], next)
      done.push(`addresses of network ${network_id}: from ${host}, which is silent, to ${next}`)
    })
  return done
}
