import { randomUUID } from 'node:crypto'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { RouterRow } from '../db/tables.ts'
import type { Work } from './context.ts'
import { type AskedIp, allocationRows, chooseAllAddresses } from './ipam.ts'
import { missing } from './noun.ts'
import { removePortRows } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'

export interface AskedGateway {
  network_id?: string
  enable_snat?: boolean
  external_fixed_ips?: AskedIp[]
}

/** Gives a router its way to the outside, changes it, or takes it. Behind the locks of router and networks. @throws Fault 400, 404, 409 */
export async function setGateway(work: Work, router: RouterRow, asked: AskedGateway | null): Promise<void> {
  const { trx } = work
  const networkId = networkOf(asked)
  const [port] = await rowsWhere(trx, 'ports', 'id', router.gateway_port_id ? [router.gateway_port_id] : [])
  if (networkId === null) {
    await refuseGatewayInUse(work, router)
    if (port) await removePortRows(work, [port])
    await updateRow(trx, 'routers', router.id, { gateway_network_id: null, gateway_port_id: null, enable_snat: 1 })
    return
  }
  const snat = { enable_snat: Number(asked?.enable_snat ?? true) }
  await refuseInternal(work, [networkId])
  if (port && networkId === router.gateway_network_id && asked?.external_fixed_ips === undefined) {
    await updateRow(trx, 'routers', router.id, snat)
    return
  }
  if (port) {
    if (networkId !== router.gateway_network_id) await refuseGatewayInUse(work, router)
    await removePortRows(work, [port])
  }
  const [portId] = await makePorts(work, [{ router, networkId, ips: asked!.external_fixed_ips }])
  await updateRow(trx, 'routers', router.id, { ...snat, gateway_network_id: networkId, gateway_port_id: portId })
}

/** New routers with their ways to the outside, as asked for each. Behind the locks of the networks. @throws Fault 400, 404, 409 */
export async function withGateways(work: Work, routers: RouterRow[], asked: (AskedGateway | null | undefined)[]): Promise<RouterRow[]> {
  const wanted = routers.flatMap((router, i) => {
    const networkId = networkOf(asked[i] ?? null)
    return networkId === null ? [] : [{ router, networkId, ips: asked[i]!.external_fixed_ips, snat: asked[i]!.enable_snat ?? true }]
  })
  await refuseInternal(
    work,
    wanted.map((one) => one.networkId),
  )
  const ports = await makePorts(work, wanted)
  const gateways = new Map(
    wanted.map(({ router, networkId, snat }, i) => [
      router.id,
      { enable_snat: Number(snat), gateway_network_id: networkId, gateway_port_id: ports[i]! },
    ]),
  )
  return routers.map((router) => ({ ...router, ...gateways.get(router.id) }))
}

/** @throws Fault 400 when there is something to say of a gateway, but not where it leads */
function networkOf(asked: AskedGateway | null): string | null {
  if (asked !== null && asked.network_id == null && Object.keys(asked).length > 0)
    throw badRequest("Invalid input for external_gateway_info. Reason: 'network_id' is needed.", 'HTTPBadRequest')
  return asked?.network_id ?? null
}

async function refuseInternal({ trx }: Work, networkIds: string[]): Promise<void> {
  const networks = new Map((await rowsWhere(trx, 'networks', 'id', networkIds)).map((network) => [network.id, network]))
  for (const id of networkIds) {
    if (!networks.has(id)) throw missing({ type: 'Network' }, id)
    if (networks.get(id)!.external !== 1) throw badRequest(`Bad router request: Network ${id} is not an external network.`, 'BadRequest')
  }
}

/** Answers the ports' ids. */
async function makePorts(work: Work, wanted: { router: RouterRow; networkId: string; ips: AskedIp[] | undefined }[]): Promise<string[]> {
  const { trx } = work
  const all = await rowsWhere(
    trx,
    'subnets',
    'network_id',
    wanted.map((one) => one.networkId),
  )
  const made = wanted.map(({ router, networkId, ips }) => {
    const row = newPortRow({
      id: randomUUID(),
      projectId: '',
      networkId,
      macAddress: newMac(),
      deviceId: router.id,
      deviceOwner: 'network:router_gateway',
      host: router.host,
    })
    const subnets = all.filter((subnet) => subnet.network_id === networkId)
    if (subnets.length === 0)
      throw badRequest(
        `Bad router request: Cannot update gateway: network ${networkId} has no subnet to take an address from.`,
        'BadRequest',
      )
    return {
      row,
      wish: { networkId, subnets, macAddress: row.mac_address, deviceOwner: row.device_owner, asked: ips?.length ? ips : undefined },
    }
  })
  const chosen = await chooseAllAddresses(
    work,
    made.map((one) => one.wish),
  )
  await insertRow(
    trx,
    'ports',
    made.map((one) => one.row),
  )
  await insertRow(
    trx,
    'allocations',
    made.flatMap(({ row }, i) => allocationRows(row.id, row.network_id, chosen[i]!)),
  )
  return made.map((one) => one.row.id)
}

/** @throws Fault 409 while floating addresses lead through it */
export async function refuseGatewayInUse({ trx }: Work, router: RouterRow): Promise<void> {
  const [user] = await rowsWhere(trx, 'floatingips', 'router_id', [router.id])
  if (user)
    throw conflict(
      `Gateway cannot be updated for router ${router.id}, since a gateway to external network ${router.gateway_network_id} is required by one or more floating IPs.`,
      'RouterExternalGatewayInUseByFloatingIp',
    )
}
