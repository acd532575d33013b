import { rowsWhere } from '../db/rows.ts'
import type { Neighbour } from '../rpc.ts'
import type { NetworkContext } from './context.ts'

/** The ports of these networks that are bound to other hosts, with the tunnel that leads there; ports on hosts that carry no such tunnels are left out. */
export async function neighbours(
  { database: { db } }: NetworkContext,
  { host, networkIds }: { host: string; networkIds: string[] },
): Promise<Record<string, Neighbour[]>> {
  const networks = await rowsWhere(db, 'networks', 'id', networkIds)
  const endpoints = await db.selectFrom('tunnel_endpoints').selectAll().execute()
  const ends = new Map(endpoints.map((one) => [`${one.type} ${one.host}`, one.address]))
  const ports = (await rowsWhere(db, 'ports', 'network_id', networkIds)).filter((port) => port.host !== '' && port.host !== host)
  const ids = ports.map((port) => port.id)
  const addresses = Map.groupBy(await rowsWhere(db, 'allocations', 'port_id', ids), (one) => one.port_id)
  return Object.fromEntries(
    networks.map((network) => [
      network.id,
      ports
        .filter((port) => port.network_id === network.id)
        .sort((a, b) => a.mac_address.localeCompare(b.mac_address))
        .flatMap((port) => {
          const endpoint = ends.get(`${network.network_type} ${port.host}`)
          const held = (addresses.get(port.id) ?? []).map((one) => one.address).sort()
          return endpoint ? [{ macAddress: port.mac_address, addresses: held, endpoint }] : []
        }),
    ]),
  )
}
