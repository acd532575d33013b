import type { Vif } from '../compute/rpc.ts'
import { faultOf, must, type RestRequest, type RestTransport } from '../kernel/http/client.ts'
import type {
  ExtensionDocument,
  FloatingIpDocument,
  NetworkDocument,
  PortDocument,
  SecurityGroupDocument,
  SubnetDocument,
} from './api/answers.ts'

export type { FloatingIpDocument, NetworkDocument, PortDocument, SecurityGroupDocument, SubnetDocument }

export interface CallAs {
  /** The user's own token; without it the service's. */
  token?: string | null
  requestId?: string
}

export type Query = Record<string, string | number | boolean | string[] | undefined>

/** Lists of ids are asked for in portions that fit into an address. */
const PORTION = 50

/** The network service, as the other services use it. All methods throw the network service's own Fault. */
export class NetworkClient {
  private readonly transport: RestTransport
  private readonly session: { token(): Promise<string> }

  constructor(transport: RestTransport, session: { token(): Promise<string> }) {
    this.transport = transport
    this.session = session
  }

  async networks(query: Query = {}, as?: CallAs): Promise<NetworkDocument[]> {
    return (await this.get('networks', query, as)).networks
  }

  /** @throws Fault 404 */
  async network(id: string, as?: CallAs): Promise<NetworkDocument> {
    return (await this.get(`networks/${encodeURIComponent(id)}`, {}, as)).network
  }

  async subnets(query: Query = {}, as?: CallAs): Promise<SubnetDocument[]> {
    return (await this.get('subnets', query, as)).subnets
  }

  async ports(query: Query = {}, as?: CallAs): Promise<PortDocument[]> {
    return (await this.get('ports', query, as)).ports
  }

  /** @throws Fault 404 */
  async port(id: string, as?: CallAs): Promise<PortDocument> {
    return (await this.get(`ports/${encodeURIComponent(id)}`, {}, as)).port
  }

  /** An administrator may name the id; asking again with the same one answers the port that is there. */
  async createPort(body: Record<string, unknown>, as?: CallAs): Promise<PortDocument> {
    return (await this.json({ method: 'POST', path: '/network/v2.0/ports', body: { port: body } }, as)).port
  }

  async updatePort(id: string, body: Record<string, unknown>, as?: CallAs): Promise<PortDocument> {
    return (await this.json({ method: 'PUT', path: `/network/v2.0/ports/${encodeURIComponent(id)}`, body: { port: body } }, as)).port
  }

  /** Only as long as it is as wanted; answers whether it was. @throws Fault 404 */
  async updatePortIf(id: string, body: Record<string, unknown>, asWanted: (port: PortDocument) => boolean, as?: CallAs): Promise<boolean> {
    for (;;) {
      const port = await this.port(id, as)
      if (!asWanted(port)) return false
      const answer = await this.transport.send(
        await this.signed(
          {
            method: 'PUT',
            path: `/network/v2.0/ports/${encodeURIComponent(id)}`,
            headers: { 'if-match': `revision_number=${port.revision_number}` },
            body: { port: body },
          },
          as,
        ),
      )
      if (answer.status < 400) return true
      if (answer.status !== 412) throw faultOf(answer.status, answer.body)
    }
  }

  /** A port that is not there any more is fine. */
  async deletePort(id: string, as?: CallAs): Promise<void> {
    const answer = await this.transport.send(
      await this.signed({ method: 'DELETE', path: `/network/v2.0/ports/${encodeURIComponent(id)}` }, as),
    )
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer.status, answer.body)
  }

  async securityGroups(query: Query = {}, as?: CallAs): Promise<SecurityGroupDocument[]> {
    return (await this.get('security-groups', query, as)).security_groups
  }

  /** Many ports at once, all or none. @throws Fault 400, 404 */
  async changeMembers(groupId: string, change: 'add' | 'remove', portIds: string[], as?: CallAs): Promise<void> {
    const path = `/network/v2.0/security-groups/${encodeURIComponent(groupId)}/${change}_ports`
    await this.json({ method: 'PUT', path, body: { port_ids: portIds } }, as)
  }

  async floatingIps(query: Query = {}, as?: CallAs): Promise<FloatingIpDocument[]> {
    return (await this.get('floatingips', query, as)).floatingips
  }

  /** The id of the project's automatically allocated network, which is made if there is none. @throws Fault 409 where it cannot be */
  async autoAllocatedTopology(projectId: string, as?: CallAs): Promise<string> {
    return (await this.get(`auto-allocated-topology/${encodeURIComponent(projectId)}`, {}, as)).auto_allocated_topology.id
  }

  /** @throws Fault 409 where it could not be made */
  async checkAutoAllocation(projectId: string, as?: CallAs): Promise<void> {
    await this.get(`auto-allocated-topology/${encodeURIComponent(projectId)}`, { fields: 'dry-run' }, as)
  }

  async extensions(as?: CallAs): Promise<ExtensionDocument[]> {
    return (await this.get('extensions', {}, as)).extensions
  }

  /** Limits by resource; -1 is without end. */
  async quota(projectId: string, as?: CallAs): Promise<Record<string, number>> {
    return (await this.get(`quotas/${encodeURIComponent(projectId)}`, {}, as)).quota
  }

  /** The cards of a server, in the order in which their ports were made. To be asked by an administrator: others do not see how ports are plugged. */
  async vifs(serverId: string, as?: CallAs): Promise<Vif[]> {
    return (await this.vifsOf([serverId], as)).get(serverId)!
  }

  /** The same of many servers. */
  async vifsOf(serverIds: string[], as?: CallAs): Promise<Map<string, Vif[]>> {
    const order = { sort_key: 'created_at', sort_dir: 'asc' }
    const ports = await this.portions(serverIds, (device_id) => this.ports({ device_id, ...order }, as))
    if (ports.length === 0) return new Map(serverIds.map((id) => [id, []]))
    const networkIds = [...new Set(ports.map((port) => port.network_id))]
    const portIds = ports.map((port) => port.id)
    const [networks, subnets, floating] = await Promise.all([
      this.portions(networkIds, (id) => this.networks({ id }, as)),
      this.portions(networkIds, (network_id) => this.subnets({ network_id }, as)),
      this.portions(portIds, (port_id) => this.floatingIps({ port_id }, as)),
    ])
    const vifs = Map.groupBy(ports, (port) => port.device_id)
    const one = (port: PortDocument) => vif(port, networks.find((network) => network.id === port.network_id)!, subnets, floating)
    return new Map(serverIds.map((id) => [id, (vifs.get(id) ?? []).map(one)]))
  }

  /** Any other request, for routes that only pass on; the path begins like `/security-groups` below /network/v2.0. */
  async forward(request: Pick<RestRequest, 'method' | 'path' | 'query' | 'body'>, as: CallAs): Promise<any> {
    return await this.json({ ...request, path: `/network/v2.0${request.path}` }, as)
  }

  /** Asks for many ids, as many at a time as an address holds. */
  async portions<T>(ids: string[], ask: (some: string[]) => Promise<T[]>): Promise<T[]> {
    const all: T[] = []
    for (let at = 0; at < ids.length; at += PORTION) all.push(...(await ask(ids.slice(at, at + PORTION))))
    return all
  }

  private async get(path: string, query: Query, as?: CallAs): Promise<any> {
    return await this.json({ method: 'GET', path: `/network/v2.0/${path}`, query }, as)
  }

  private async json(request: RestRequest, as?: CallAs): Promise<any> {
    return await must(this.transport.send(await this.signed(request, as)))
  }

  private async signed(request: RestRequest, as: CallAs = {}): Promise<RestRequest> {
    return { ...request, token: as.token ?? (await this.session.token()), requestId: as.requestId }
  }
}

function vif(port: PortDocument, network: NetworkDocument, subnets: SubnetDocument[], floating: FloatingIpDocument[]): Vif {
  const mine = floating.filter((one) => one.port_id === port.id && one.fixed_ip_address)
  const details = port['binding:vif_details'] ?? {}
  const own = [...new Set(port.fixed_ips.map((ip) => ip.subnet_id))].flatMap((id) => subnets.find((subnet) => subnet.id === id) ?? [])
  return {
    portId: port.id,
    macAddress: port.mac_address,
    network: { id: network.id, label: network.name, mtu: network.mtu, projectId: network.project_id },
    subnets: own.map((subnet) => ({
      id: subnet.id,
      cidr: subnet.cidr,
      ipVersion: subnet.ip_version,
      gateway: subnet.gateway_ip,
      dns: subnet.dns_nameservers,
      routes: subnet.host_routes,
      dhcp: subnet.enable_dhcp,
      addresses: port.fixed_ips.filter((ip) => ip.subnet_id === subnet.id).map((ip) => ip.ip_address),
    })),
    vnicType: port['binding:vnic_type'],
    vifType: port['binding:vif_type'] ?? 'unbound',
    details: {
      ovsHybridPlug: details.ovs_hybrid_plug === true,
      portFilter: details.port_filter === true,
      bridgeName: String(details.bridge_name ?? 'br-int'),
      datapathType: String(details.datapath_type ?? 'system'),
    },
    floatingIps: Object.fromEntries(
      [...Map.groupBy(mine, (one) => one.fixed_ip_address!)].map(([fixed, list]) => [fixed, list.map((one) => one.floating_ip_address)]),
    ),
    securityGroups: port.security_groups,
    deviceName: `tap${port.id.slice(0, 11)}`,
    active: port.status === 'ACTIVE',
  }
}
