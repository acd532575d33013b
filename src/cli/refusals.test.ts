import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { House } from '../compute/testing.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Route } from '../kernel/http/route.ts'

let house: House
/** Where an address names something of project alpha's → its id. The longest beginning counts. */
let owned: Record<string, string>

before(async () => {
  house = await House.open()
  const { id: server } = await house.server()
  const post = async (path: string, body: object) => Object.values((await house.request('POST', path, { body })).body)[0] as { id: string }
  const network = (await post('/network/v2.0/networks', { network: { name: 'own' } })).id
  const subnet = (await post('/network/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.8.0.0/24' } })).id
  const pool = (await post('/network/v2.0/subnetpools', { subnetpool: { name: 'own', prefixes: ['10.64.0.0/16'] } })).id
  const port = (await post('/network/v2.0/ports', { port: { network_id: network } })).id
  const router = (await post('/network/v2.0/routers', { router: { name: 'own' } })).id
  const group = (await post('/network/v2.0/security-groups', { security_group: { name: 'own' } })).id
  const rule = (
    await post('/network/v2.0/security-group-rules', { security_group_rule: { security_group_id: group, direction: 'ingress' } })
  ).id
  const volume = (await post('/volume/v3/volumes', { volume: { size: 1 } })).id
  await house.yard.cloud.control.compute.context.engine.idle()
  const image = (await house.request('POST', '/image/v2/images', { body: { name: 'own' } })).body.id
  await house.request('POST', '/image/v2/metadefs/namespaces', { body: { namespace: 'own', visibility: 'private' }, as: 'admin' })
  await post('/compute/v2.1/os-keypairs', { keypair: { name: 'own' } })
  const servers = (await post('/compute/v2.1/os-server-groups', { server_group: { name: 'own', policies: ['affinity'] } })).id
  const { alpha } = house
  const compute: Record<string, string> = {
    servers: server,
    'os-keypairs': 'own',
    'os-server-groups': servers,
    'os-volumes': volume,
    'os-snapshots': volume,
    'os-security-groups': group,
    'os-security-group-rules': rule,
    'os-floating-ips': router,
    'os-networks': network,
    'os-tenant-networks': network,
    images: image,
    'os-quota-sets': alpha,
    'os-simple-tenant-usage': alpha,
  }
  const networking: Record<string, string> = {
    networks: network,
    subnets: subnet,
    subnetpools: pool,
    ports: port,
    routers: router,
    floatingips: router,
    'security-groups': group,
    'security-group-rules': rule,
    'network-ip-availabilities': network,
    quotas: alpha,
    'auto-allocated-topology': alpha,
  }
  const volumes: Record<string, string> = {
    volumes: volume,
    snapshots: volume,
    attachments: volume,
    messages: volume,
    'os-volume-transfer': volume,
    'volume-transfers': volume,
    'os-quota-sets': alpha,
  }
  const below = (prefix: string, of: Record<string, string>) =>
    Object.fromEntries(Object.entries(of).map(([path, id]) => [`${prefix}/${path}/`, id]))
  owned = {
    ...below('/compute/v2.1', compute),
    ...below('/network/v2.0', networking),
    ...below('/volume/v3', volumes),
    '/image/v2/images/': image,
    '/image/v2/metadefs/namespaces/': 'own',
    '/identity/v3/users/': (
      await house.request('GET', '/identity/v3/auth/tokens', { headers: { 'x-subject-token': house.token('member') } })
    ).body.token.user.id,
  }
})
after(() => house.stop())

/** Addresses that name what belongs to nobody: any project may see it. */
const EVERYBODYS = [
  '/compute/v2.1/extensions/',
  '/compute/v2.1/flavors/',
  '/compute/v2.1/os-quota-sets/:project/defaults',
  '/compute/v2.1/os-quota-class-sets/',
  '/network/v2.0/extensions/',
  '/network/v2.0/quotas/:id/default',
  '/volume/v3/types/',
  '/volume/v3/os-quota-sets/:target_id/defaults',
  '/image/v2/schemas/',
  '/identity/v3/regions/',
]

/** Of what the API has no more: it is nobody's. */
const REMOVED = 'os_compute_api:yun-removed'

const all = () =>
  house.yard.cloud.control.server.apis
    .filter((api) => api.alias === undefined)
    .flatMap((api) => api.routes.flatMap((route) => (typeof route.policy === 'string' ? [{ api, route, rule: route.policy }] : [])))

const nameOf = ({ api, route }: { api: Api; route: Route }) => `${route.method} ${api.prefix}${route.path} ${route.action ?? ''}`.trim()

/** As `as` asks it, with the first parameter of its address as given. */
async function ask({ api, route }: { api: Api; route: Route }, as: 'stranger' | null, first: string): Promise<number> {
  const at = route.microversions?.max ?? api.microversions?.max
  const path = `${api.prefix}${route.path === '/' ? '' : route.path.replace(/:\w+/, first).replace(/:\w+/g, 'x')}`
  const headers: Record<string, string> = at ? { 'openstack-api-version': `${api.microversions!.service} ${at}` } : {}
  const body = route.action ? { [route.action]: null } : route.body ? {} : undefined
  return (await house.request(route.method, path, { as, headers, body })).status
}

/** Whether a project's member may do this with what is their own. */
function forMembers({ api, rule }: { api: Api; rule: string }): boolean {
  const member = { ...NOBODY, user_id: 'somebody', project_id: house.beta, tenant: house.beta, roles: ['member', 'reader'] }
  const own = { project_id: house.beta, tenant_id: house.beta, owner: house.beta, user_id: 'somebody', domain_id: null }
  return api.policy.decide(rule, member, own).allowed
}
const NOBODY = {
  domain_id: null,
  user_domain_id: 'default',
  project_domain_id: 'default',
  service_roles: [],
  is_admin: false,
  system_scope: null,
}

test('no route answers who brings no token', async () => {
  const answered: string[] = []
  for (const one of all()) if ((await ask(one, null, 'x')) !== 401) answered.push(nameOf(one))
  assert.deepEqual(answered, [])
})

test("what is for operators is refused to a project's member", async () => {
  const wrong: string[] = []
  let forOperators = 0
  for (const one of all()) {
    if (forMembers(one)) continue
    forOperators++
    const status = await ask(one, 'stranger', 'x')
    // a body or a query that does not fit is refused first, and so is what is not there
    const right = one.route.body || one.route.query || one.route.stream ? [403, 404, 400, 415] : [403, 404]
    if (!right.includes(status)) wrong.push(`${nameOf(one)}: ${status}`)
  }
  assert.ok(forOperators > 150, `${forOperators} routes`)
  assert.deepEqual(wrong, [])
})

test("what is another project's is not there, whatever the route", async () => {
  const wrong: string[] = []
  let asked = 0
  for (const one of all()) {
    const address = `${one.api.prefix}${one.route.path}`
    if (!address.includes(':') || EVERYBODYS.some((path) => address.startsWith(path)) || one.rule === REMOVED) continue
    const of = Object.keys(owned)
      .filter((path) => address.startsWith(`${path}:`))
      .toSorted((a, b) => b.length - a.length)[0]
    if (of === undefined) {
      if (forMembers(one)) wrong.push(`${nameOf(one)}: nobody says whose this is`)
      continue
    }
    asked++
    const status = await ask(one, 'stranger', owned[of]!)
    const right = one.route.body || one.route.query || one.route.stream ? [404, 403, 400, 415] : [404, 403]
    if (!right.includes(status)) wrong.push(`${nameOf(one)}: ${status}`)
  }
  assert.ok(asked > 200, `${asked} routes`)
  assert.deepEqual(wrong, [])
})
