import Type from 'typebox'
import { badRequest, Fault, notFound } from '../../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../../kernel/http/route.ts'
import type { ComputeContext } from '../../app/context.ts'
import { networkChanged } from '../../app/network-changed.ts'
import { closed, server, targetServer, Wrapped } from '../common.ts'

/** Further addresses of a server's ports, as compute gave them before 2.44: the network service has them. */
export function fixedIpRoutes(context: ComputeContext): Route[] {
  const action = {
    method: 'POST' as const,
    path: '/servers/:server_id/action',
    target: targetServer(context),
    microversions: { max: '2.43' },
    response: 'nothing' as const,
  }
  const portsOf = async (request: ApiRequest) => {
    const row = await server(context, request)
    return { row, ports: await context.networks.ports({ device_id: row.id }) }
  }
  return [
    {
      ...action,
      action: 'addFixedIp',
      doc: 'Give the port of a server on a network another address (the network API does it since 2.44)',
      policy: 'os_compute_api:os-multinic:add',
      body: Wrapped('addFixedIp', Type.Object({ networkId: Type.String({ minLength: 1, maxLength: 36 }) }, closed)),
      async handler(request) {
        const { networkId } = request.body.addFixedIp
        const { row, ports } = await portsOf(request)
        const port = ports.find((one) => one.network_id === networkId)
        if (!port) throw notFound(`Network could not be found for instance ${row.id}.`, 'NetworkNotFoundForInstance')
        const [subnet] = await context.networks.subnets({ network_id: networkId, sort_key: 'ip_version', sort_dir: 'asc' })
        if (!subnet) throw badRequest(`Network ${networkId} has no subnet.`, 'NoMoreFixedIps')
        await context.networks.updatePort(port.id, { fixed_ips: [...port.fixed_ips, { subnet_id: subnet.id }] }).catch((error) => {
          throw error instanceof Fault && error.status === 409 ? badRequest(error.message, 'NoMoreFixedIps') : error
        })
        await networkChanged(context, row.id)
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      ...action,
      action: 'removeFixedIp',
      doc: 'Take an address from a port of a server (the network API does it since 2.44)',
      policy: 'os_compute_api:os-multinic:remove',
      body: Wrapped(
        'removeFixedIp',
        Type.Object({ address: Type.Union([Type.String({ format: 'ipv4' }), Type.String({ format: 'ipv6' })]) }, closed),
      ),
      async handler(request) {
        const { address } = request.body.removeFixedIp
        const { row, ports } = await portsOf(request)
        const port = ports.find((one) => one.fixed_ips.some((ip) => ip.ip_address === address))
        if (!port) throw badRequest(`Instance ${row.id} doesn't have fixed IP ${address}.`, 'FixedIpNotFoundForSpecificInstance')
        await context.networks.updatePort(port.id, { fixed_ips: port.fixed_ips.filter((ip) => ip.ip_address !== address) })
        await networkChanged(context, row.id)
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}
