import type { Yard } from '../../compute/sagas/testing.ts'
import { routesOf } from './counting-testing.ts'
import type { Sown } from './sown-testing.ts'

/** What a route must be told. */
const QUERY: Record<string, string> = {
  '/placement/allocation_candidates': '?resources=VCPU:1',
  '/placement/usages': '?project_id=demo',
}

export interface Look {
  name: string
  path: string
  headers: Record<string, string>
}

/** The project that everything is in, and who makes it. */
export interface Owners {
  project: string
  user: string
}

type Ids = Record<string, Record<string, string>>

/** By service: what stands behind a collection's name in an address, or behind a beginning of an address. */
async function idsOf(yard: Yard, of: Sown, { project, user }: Owners): Promise<Ids> {
  const { api } = yard.cloud
  const first = async (path: string, key: string, service = 'compute') => {
    const [list] = Object.values(await api('GET', path, undefined, { 'openstack-api-version': `${service} latest` })) as any[][]
    return String(list!.find((one) => one.name === undefined || one.name === host || key === 'alias')[key])
  }
  const host = 'node1'
  const server = `/compute/v2.1/servers/${of.server}`
  return {
    identity: {
      projects: of.project,
      domains: of.domain,
      users: of.user,
      groups: of.people,
      roles: of.role,
      services: of.service,
      endpoints: of.endpoint,
      regions: of.region,
      trusts: of.trust,
      implies: (await api('GET', `/identity/v3/roles/${of.role}/implies`)).role_inference.implies[0].id,
      '/users/:id/application_credentials/': user,
      application_credentials: of.credential,
      '/users/:id/credentials/': user,
      'OS-EC2': of.key,
      credentials: of.kept,
      policies: of.policy,
      tags: of.namespace,
    },
    placement: {
      resource_providers: await first('/placement/resource_providers', 'uuid', 'placement'),
      traits: of.trait,
      resource_classes: 'VCPU',
      inventories: 'VCPU',
      allocations: of.server,
    },
    image: {
      images: of.image,
      members: project,
      namespaces: of.namespace,
      objects: (await api('GET', `/image/v2/metadefs/namespaces/${of.namespace}/objects`)).objects[0].name,
      properties: 'a',
      tags: of.namespace,
      schemas: 'image',
      metadefs: 'namespace',
    },
    network: {
      networks: of.network,
      subnets: of.subnet,
      subnetpools: of.subnetpool,
      ports: of.port,
      routers: of.router,
      floatingips: of.floatingip,
      'security-groups': of.group,
      'security-group-rules': of.rule,
      'network-ip-availabilities': of.network,
      agents: await first('/network/v2.0/agents', 'id'),
      extensions: 'router',
      quotas: project,
      'auto-allocated-topology': of.project,
      tags: 'a',
    },
    volume: {
      volumes: of.volume,
      snapshots: of.snapshot,
      attachments: of.attachment,
      'os-volume-transfer': of.transfer,
      'volume-transfers': of.transfer,
      types: of.type,
      'qos-specs': of.qos,
      'os-quota-sets': project,
      'os-quota-class-sets': 'default',
      metadata: 'a',
      extra_specs: 'a',
      'os-hosts': await first('/volume/v3/os-hosts', 'host_name'),
      capabilities: await first('/volume/v3/os-hosts', 'host_name'),
    },
    compute: {
      servers: of.server,
      flavors: of.flavor,
      images: of.image,
      'os-keypairs': of.keypair,
      'os-server-groups': of.servers,
      'os-aggregates': of.aggregate,
      'os-quota-sets': project,
      'os-quota-class-sets': 'default',
      'os-simple-tenant-usage': project,
      'os-security-groups': of.group,
      'os-floating-ips': of.floatingip,
      'os-networks': of.network,
      'os-tenant-networks': of.network,
      'os-volumes': of.volume,
      'os-snapshots': of.snapshot,
      'os-volume_attachments': of.volume,
      'os-interface': await first(`${server}/os-interface`, 'port_id'),
      'os-instance-actions': await first(`${server}/os-instance-actions`, 'request_id'),
      'os-hosts': host,
      '/os-hypervisors/:id/search': host,
      '/os-hypervisors/:id/servers': host,
      'os-hypervisors': await first('/compute/v2.1/os-hypervisors', 'id'),
      'os-instance_usage_audit_log': '2026-01-01%2000:00:00',
      extensions: 'OS-DCF',
      metadata: 'a',
      'os-extra_specs': 'a',
      ips: 'private',
    },
  }
}

/** Every route that shows something, in its newest microversion; what has a name in its address is asked of these. */
export async function looks(yard: Yard, of: Sown, owners: Owners): Promise<Look[]> {
  const ids = await idsOf(yard, of, owners)
  const shows = routesOf(yard, ({ method, response, policy }) => method === 'GET' && response !== 'nothing' && typeof policy === 'string')
  return shows.map(({ api, route, name }) => {
    const at = route.microversions?.max ?? api.microversions?.max
    const headers: Record<string, string> = at ? { 'openstack-api-version': `${api.microversions!.service} ${at}` } : {}
    if (route.path === '/auth/tokens') headers['x-subject-token'] = yard.cloud.token
    const query = QUERY[`${api.prefix}${route.path}`] ?? ''
    const own = ids[api.name] ?? {}
    const path = route.path.replace(/([^/]+)\/:\w+/g, (found, collection: string, at: number) => {
      const beginning = Object.keys(own).find((one) => at === 1 && one.startsWith('/') && route.path.startsWith(one))
      return `${collection}/${own[beginning ?? collection] ?? found}`
    })
    return { name, path: `${api.prefix}${path}${query}`, headers }
  })
}
