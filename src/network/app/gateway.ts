import { randomUUID } from 'node:crypto'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { RouterRow } from '../db/tables.ts'
import type { Work } from './context.ts'
import { type AskedIp, allocationRows, chooseAddresses } from './ipam.ts'
import { missing } from './noun.ts'
import { removePortRow } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'

export interface AskedGateway {
  network_id?: string
  enable_snat?: boolean
  external_fixed_ips?: AskedIp[]
}

/** Gives a router its way to the outside, changes it, or takes it. Behind the locks of router and networks. @throws Fault 400, 404, 409 */
export async function setGateway(work: Work, router: RouterRow, asked: AskedGateway | null): Promise<void> {
  const { trx } = work
  const networkId = asked?.network_id ?? null
  const [port] = await rowsWhere(trx, 'ports', 'id', router.gateway_port_id ? [router.gateway_port_id] : [])
  if (networkId === null) {
    if (asked !== null && Object.keys(asked).length > 0)
      throw badRequest("Invalid input for external_gateway_info. Reason: 'network_id' is needed.", 'HTTPBadRequest')
    await refuseInUse(work, router)
    if (port) await removePortRow(work, port)
    await updateRow(trx, 'routers', router.id, { gateway_network_id: null, gateway_port_id: null, enable_snat: 1 })
    return
  }
  const snat = { enable_snat: Number(asked?.enable_snat ?? true) }
  const [network] = await rowsWhere(trx, 'networks', 'id', [networkId])
  if (!network) throw missing({ type: 'Network' }, networkId)
  if (network.external !== 1) throw badRequest(`Bad router request: Network ${networkId} is not an external network.`, 'BadRequest')
  if (port && networkId === router.gateway_network_id && asked?.external_fixed_ips === undefined) {
    await updateRow(trx, 'routers', router.id, snat)
    return
  }
  if (port) {
    if (networkId !== router.gateway_network_id) await refuseInUse(work, router)
    await removePortRow(work, port)
  }
  const portId = await makePort(work, router, networkId, asked!.external_fixed_ips)
  await updateRow(trx, 'routers', router.id, { ...snat, gateway_network_id: networkId, gateway_port_id: portId })
}

async function makePort(work: Work, router: RouterRow, networkId: string, ips: AskedIp[] | undefined): Promise<string> {
  const { trx } = work
  const row = newPortRow({
    id: randomUUID(),
    projectId: '',
    networkId,
    macAddress: newMac(),
    deviceId: router.id,
    deviceOwner: 'network:router_gateway',
    host: router.host,
  })
  const subnets = await rowsWhere(trx, 'subnets', 'network_id', [networkId])
  if (subnets.length === 0)
    throw badRequest(`Bad router request: Cannot update gateway: network ${networkId} has no subnet to take an address from.`, 'BadRequest')
  const chosen = await chooseAddresses(work, {
    networkId,
    subnets,
    macAddress: row.mac_address,
    deviceOwner: row.device_owner,
    asked: ips?.length ? ips : undefined,
  })
  await insertRow(trx, 'ports', row)
  await insertRow(trx, 'allocations', allocationRows(row.id, networkId, chosen))
  return row.id
}

async function refuseInUse({ trx }: Work, router: RouterRow): Promise<void> {
  const [user] = await rowsWhere(trx, 'floatingips', 'router_id', [router.id])
  if (user)
    throw conflict(
      `Gateway cannot be updated for router ${router.id}, since a gateway to external network ${router.gateway_network_id} is required by one or more floating IPs.`,
      'RouterExternalGatewayInUseByFloatingIp',
    )
}
