import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { after, before, test } from 'node:test'
import { eventually, Yard } from '../compute/sagas/testing.ts'
import { queries } from '../kernel/db/node-sqlite.ts'
import type { Route } from '../kernel/http/route.ts'
import { QUERIES } from './queries.ts'

/** What a list must be told. */
const QUERY: Record<string, string> = {
  '/placement/allocation_candidates': '?resources=VCPU:1',
  '/placement/usages': '?project_id=demo',
}

const asked = new AsyncLocalStorage<string[]>()
const note = (sql: unknown) => void asked.getStore()?.push(String(sql))

let yard: Yard
before(async () => {
  yard = await Yard.open()
  queries.subscribe(note)
})
after(async () => {
  queries.unsubscribe(note)
  await yard.cloud.stop()
})

/** The network outside, with addresses for routers and servers. */
async function provider(): Promise<{ id: string }> {
  const { api } = yard.cloud
  const { network } = await api('POST', '/network/v2.0/networks', {
    network: { name: 'public', 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'public' },
  })
  await api('POST', '/network/v2.0/subnets', {
    subnet: { network_id: network.id, ip_version: 4, cidr: '172.24.4.0/24', gateway_ip: '172.24.4.1', enable_dhcp: false },
  })
  return network
}

/** `n` more of everything that lists show. */
async function seed(n: number, outside: { id: string }): Promise<void> {
  const { api, control } = yard.cloud
  const { projects } = await api('GET', '/identity/v3/auth/projects')
  const project = projects.find((one: { name: string }) => one.name === 'demo').id
  const [admin] = (await api('GET', '/identity/v3/users?name=admin')).users
  const post = async (path: string, body: object) => Object.values(await api('POST', path, body))[0] as any
  for (let i = 0; i < n; i++) {
    const name = `seed-${Math.random().toString(36).slice(2, 10)}`
    // network
    const network = await post('/network/v2.0/networks', { network: { name } })
    const subnet = await post('/network/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.8.0.0/24' } })
    await post('/network/v2.0/subnetpools', { subnetpool: { name, prefixes: ['10.64.0.0/16'] } })
    const group = await post('/network/v2.0/security-groups', { security_group: { name } })
    await post('/network/v2.0/security-group-rules', { security_group_rule: { security_group_id: group.id, direction: 'ingress' } })
    const router = await post('/network/v2.0/routers', {
      router: { name, external_gateway_info: { network_id: outside.id } },
    })
    await api('PUT', `/network/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id })
    const port = await post('/network/v2.0/ports', { port: { network_id: network.id, security_groups: [group.id] } })
    await post('/network/v2.0/floatingips', { floatingip: { floating_network_id: outside.id, port_id: port.id } })
    // volume
    const volume = await post('/volume/v3/volumes', { volume: { size: 1, name, metadata: { a: name } } })
    await eventually(
      async () => (await api('GET', `/volume/v3/volumes/${volume.id}`)).volume,
      (now) => now.status === 'available',
    )
    await post('/volume/v3/snapshots', { snapshot: { volume_id: volume.id, name } })
    const offered = await post('/volume/v3/volumes', { volume: { size: 1, name } })
    await eventually(
      async () => (await api('GET', `/volume/v3/volumes/${offered.id}`)).volume,
      (now) => now.status === 'available',
    )
    await post('/volume/v3/os-volume-transfer', { transfer: { volume_id: offered.id, name } })
    await post('/volume/v3/qos-specs', { qos_specs: { name, total_iops_sec: '100' } })
    await post('/volume/v3/types', { volume_type: { name, extra_specs: { a: name } } })
    // image
    const image = await api('POST', '/image/v2/images', {
      name,
      disk_format: 'raw',
      container_format: 'bare',
      tags: [name],
      own: name,
      visibility: 'shared',
    })
    await api('POST', `/image/v2/images/${image.id}/members`, { member: project })
    await api('POST', '/image/v2/metadefs/namespaces', {
      namespace: name,
      tags: [{ name }],
      properties: { a: { title: name, type: 'string' } },
    })
    // compute
    const { flavor } = await api('POST', '/compute/v2.1/flavors', { flavor: { name, ram: 64, vcpus: 1, disk: 1 } })
    await api('POST', `/compute/v2.1/flavors/${flavor.id}/os-extra_specs`, { extra_specs: { a: name } })
    await post('/compute/v2.1/os-keypairs', { keypair: { name } })
    await post('/compute/v2.1/os-server-groups', { server_group: { name, policies: ['affinity'] } })
    await post('/compute/v2.1/os-aggregates', { aggregate: { name } })
    const server = await yard.request()
    await yard.settled()
    await api('POST', `/compute/v2.1/servers/${server}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.id } })
    // identity
    const user = await post('/identity/v3/users', { user: { name, domain_id: 'default' } })
    const made = await post('/identity/v3/projects', { project: { name, domain_id: 'default' } })
    const role = await post('/identity/v3/roles', { role: { name } })
    await api('PUT', `/identity/v3/projects/${made.id}/users/${user.id}/roles/${role.id}`)
    const trust = {
      trustor_user_id: admin.id,
      trustee_user_id: user.id,
      project_id: project,
      impersonation: true,
      roles: [{ name: 'member' }],
    }
    await post('/identity/v3/OS-TRUST/trusts', { trust })
    await post('/identity/v3/groups', { group: { name, domain_id: 'default' } })
    await post('/identity/v3/domains', { domain: { name } })
    await post('/identity/v3/regions', { region: { description: name } })
    const service = await post('/identity/v3/services', { service: { type: name, name } })
    await post('/identity/v3/endpoints', { endpoint: { service_id: service.id, interface: 'public', url: 'http://127.0.0.1' } })
    // placement
    await api('POST', '/placement/resource_providers', { name }, { 'openstack-api-version': 'placement 1.39' })
    await api('PUT', `/placement/traits/CUSTOM_${name.replace('-', '_').toUpperCase()}`, undefined, {
      'openstack-api-version': 'placement 1.39',
    })
  }
  await control.compute.context.engine.idle()
}

interface List {
  name: string
  path: string
  headers: Record<string, string>
}

/** Every route that lists: without parameters in its address, in its newest microversion. */
function lists(): List[] {
  return yard.cloud.control.server.apis
    .filter((api) => api.alias === undefined && api.name !== 'doctor')
    .flatMap((api) =>
      api.routes
        .filter(
          (route: Route) =>
            route.method === 'GET' &&
            route.response !== 'nothing' &&
            !route.path.includes(':') &&
            !route.path.endsWith('.json') &&
            typeof route.policy === 'string',
        )
        .map((route) => {
          const at = route.microversions?.max ?? api.microversions?.max
          const headers: Record<string, string> = at ? { 'openstack-api-version': `${api.microversions!.service} ${at}` } : {}
          if (route.path === '/auth/tokens') headers['x-subject-token'] = yard.cloud.token
          const query = QUERY[`${api.prefix}${route.path}`] ?? ''
          return { name: `GET ${api.prefix}${route.path}`, path: `${api.prefix}${route.path}${query}`, headers }
        }),
    )
}

/** How many queries a request makes, in all services together, the second time that it is made. */
async function count({ path, headers }: List): Promise<string[]> {
  await yard.cloud.api('GET', path, undefined, headers)
  const found: string[] = []
  await asked.run(found, () => yard.cloud.api('GET', path, undefined, headers))
  return found
}

test('a list makes as many queries for many rows as for few, and few', { timeout: 600_000 }, async () => {
  const outside = await provider()
  await seed(2, outside)
  const few = new Map<string, string[]>()
  for (const list of lists()) few.set(list.name, await count(list))
  await seed(4, outside)
  const wrong: string[] = []
  const table: string[] = []
  for (const list of lists()) {
    const [before, now] = [few.get(list.name)!, await count(list)]
    table.push(`${now.length} ${list.name}`)
    if (now.length > before.length)
      wrong.push(`${list.name}: ${before.length} queries with a third of the rows, now ${now.length}, e.g. ${now.at(-1)}`)
    if (!(now.length <= QUERIES[list.name]!))
      wrong.push(`${list.name}: ${now.length} queries, ${QUERIES[list.name] ?? 'none'} written down`)
  }
  if (process.env.YUN_TEST_VERBOSE) console.log(table.join('\n'))
  assert.ok(table.length > 60)
  assert.deepEqual(wrong, [])
})
