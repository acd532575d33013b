import { randomUUID } from 'node:crypto'
import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { NetworkDocument, PortDocument } from '../../network/client.ts'
import type { ComputeContext } from './context.ts'
import type { ServerRequest } from './instance-spec.ts'
import type { NewServer, WantedNetwork } from './new-server.ts'

type Ports = ServerRequest['networks']

/** The ports that each of `count` servers will have; ids of those to be made are drawn here. @throws Fault 400 or 409 naming network or port */
export async function portsFor(context: ComputeContext, request: RequestContext, wanted: NewServer, count: number): Promise<Ports[]> {
  if (wanted.networks === 'none') return repeat(count, () => [])
  if (wanted.networks === 'auto') {
    const network = await theOneNetwork(context, request)
    if (!network) await mustAllocate(context, request)
    return repeat(count, () => [made(network, null, null)])
  }
  if (wanted.networks === null || wanted.networks.length === 0) {
    const network = await theOneNetwork(context, request)
    return repeat(count, () => (network ? [made(network, null, null)] : []))
  }
  if (count > 1 && wanted.networks.some((one) => one.port))
    throw badRequest(
      'Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.',
      'MultiplePortsNotApplicable',
    )
  if (count > 1 && wanted.networks.some((one) => one.fixedIp))
    throw badRequest('Invalid fixed IP: it cannot be given to several servers.', 'InvalidFixedIpAndMaxCountRequest')
  const { networks } = context
  const named = (name: 'uuid' | 'port') => [...new Set((wanted.networks as WantedNetwork[]).flatMap((one) => one[name] ?? []))]
  const [ports, those] = await Promise.all([
    networks.portions(named('port'), (id) => networks.ports({ id }, as(request))),
    networks.portions(named('uuid'), (id) => networks.networks({ id }, as(request))),
  ])
  const checked = wanted.networks.map((one) => (one.port ? givenPort(ports, one.port, one.tag) : onNetwork(those, request, one)))
  return repeat(count, () => checked.map((one) => (one.given ? one : { ...one, portId: randomUUID() })))
}

const repeat = <T>(count: number, one: () => T): T[] => Array.from({ length: count }, one)
const made = (networkId: string | null, fixedIp: string | null, tag: string | null) => ({
  portId: randomUUID(),
  networkId,
  fixedIp,
  given: false,
  tag,
})

/** What the project may use if there is just one: a network of its own or a shared one. @throws Fault 409 */
async function theOneNetwork({ networks }: ComputeContext, request: RequestContext): Promise<string | null> {
  const inside = { 'router:external': false }
  const [own, shared] = await Promise.all([
    networks.networks({ ...inside, project_id: request.projectId!, shared: false }, as(request)),
    networks.networks({ ...inside, shared: true }, as(request)),
  ])
  const all = [...own, ...shared]
  if (all.length > 1) throw conflict('Multiple possible networks found, use a Network ID to be more specific.', 'NetworkAmbiguous')
  return all[0]?.id ?? null
}

/** It is made while the server is built; that it can be is asked before. @throws Fault 400 */
async function mustAllocate({ networks }: ComputeContext, request: RequestContext): Promise<void> {
  try {
    await networks.checkAutoAllocation(request.projectId!, as(request))
  } catch (error) {
    throw error instanceof Fault && error.status === 409 ? unableToAllocate(request.projectId!, error) : error
  }
}

export const unableToAllocate = (projectId: string, why: Fault) =>
  badRequest(`Unable to automatically allocate a network for project ${projectId}: ${why.message}`, 'UnableToAutoAllocateNetwork')

function givenPort(ports: PortDocument[], id: string, tag: string | null): Ports[number] {
  const port = ports.find((one) => one.id === id)
  if (!port) throw badRequest(`Port ${id} could not be found.`, 'PortNotFound')
  if (port.device_id) throw conflict(`Port ${id} is still in use.`, 'PortInUse')
  if (port.fixed_ips.length === 0) throw badRequest(`Port ${id} requires a FixedIP in order to be used.`, 'PortRequiresFixedIP')
  return { portId: id, networkId: port.network_id, fixedIp: null, given: true, tag }
}

function onNetwork(networks: NetworkDocument[], request: RequestContext, wanted: WantedNetwork): Ports[number] {
  if (!wanted.uuid) throw badRequest('Bad networks format: a network needs its uuid or a port.')
  const network = networks.find((one) => one.id === wanted.uuid)
  if (!network) throw badRequest(`Network ${wanted.uuid} could not be found.`, 'NetworkNotFound')
  if (network['router:external'] && !network.shared && !request.isAdmin)
    throw new Fault(403, 'ExternalNetworkAttachForbidden', `It is not allowed to create an interface on external network ${wanted.uuid}`)
  if ((network.subnets ?? []).length === 0)
    throw badRequest(`Network ${wanted.uuid} requires a subnet in order to boot instances on.`, 'NetworkRequiresSubnet')
  return made(wanted.uuid, wanted.fixedIp, wanted.tag)
}

export const as = (request: RequestContext) => ({ token: request.token, requestId: request.requestId })

export interface SecurityGroup {
  id: string
  name: string
}

/** By name or id; none: the project's default group, which the network service knows. @throws Fault 400 for a group that the project does not have */
export async function securityGroupsFor(context: ComputeContext, request: RequestContext, wanted: string[]): Promise<SecurityGroup[]> {
  const names = [...new Set(wanted)]
  if (names.length === 0 || (names.length === 1 && names[0] === 'default')) return []
  const groups = await context.networks.securityGroups({ project_id: request.projectId! }, as(request))
  return names.map((name) => {
    const matches = groups.filter((one: any) => one.id === name || one.name === name)
    if (matches.length === 0)
      throw badRequest(`Security group ${name} not found for project ${request.projectId}.`, 'SecurityGroupNotFound')
    if (matches.length > 1)
      throw conflict(`Multiple security_group matches found for name '${name}', use an ID to be more specific.`, 'NoUniqueMatch')
    return { id: matches[0].id, name: matches[0].name }
  })
}
