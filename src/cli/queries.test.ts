import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Yard } from '../compute/sagas/testing.ts'
import { QUERIES } from './queries.ts'
import { counted, countQueries, Sower, type Sown } from './queries-testing.ts'

/** What a route must be told. */
const QUERY: Record<string, string> = {
  '/placement/allocation_candidates': '?resources=VCPU:1',
  '/placement/usages': '?project_id=demo',
}

let yard: Yard
let sower: Sower
let stop: () => void
before(async () => {
  yard = await Yard.open()
  stop = countQueries()
  sower = new Sower(yard)
})
after(async () => {
  stop()
  await yard.cloud.stop()
})

interface Look {
  name: string
  path: string
  headers: Record<string, string>
}

type Ids = Record<string, Record<string, string>>

/** By service: what stands behind a collection's name in an address, or behind a beginning of an address. */
async function idsOf(of: Sown): Promise<Ids> {
  const { api } = yard.cloud
  const { project, user } = sower.owners
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

/** Of what there is none here; what is asked of it is counted all the same. */
const REFUSED = [
  /roles\/:role_id$/,
  /projects\/:id\/tags\/:tag$/,
  /os-volume-type-access$/,
  /os-flavor-access$/,
  /messages\/:message_id$/,
  /os-console-auth-tokens/,
  /migrations\/:id$/,
  /images\/:image_id\/metadata\/:key$/,
]

/** Every route that shows something, in its newest microversion; what has a name in its address is asked of these. */
async function looks(of: Sown): Promise<Look[]> {
  const ids = await idsOf(of)
  return yard.cloud.control.server.apis
    .filter((api) => api.alias === undefined && api.name !== 'doctor')
    .flatMap((api) =>
      api.routes
        .filter(
          (route) =>
            route.method === 'GET' && route.response !== 'nothing' && !route.path.endsWith('.json') && typeof route.policy === 'string',
        )
        .map((route) => {
          const at = route.microversions?.max ?? api.microversions?.max
          const headers: Record<string, string> = at ? { 'openstack-api-version': `${api.microversions!.service} ${at}` } : {}
          if (route.path === '/auth/tokens') headers['x-subject-token'] = yard.cloud.token
          const query = QUERY[`${api.prefix}${route.path}`] ?? ''
          const own = ids[api.name] ?? {}
          const path = route.path.replace(/([^/]+)\/:\w+/g, (found, collection: string, at: number) => {
            const beginning = Object.keys(own).find((one) => at === 1 && one.startsWith('/') && route.path.startsWith(one))
            return `${collection}/${own[beginning ?? collection] ?? found}`
          })
          return { name: `GET ${api.prefix}${route.path}`, path: `${api.prefix}${path}${query}`, headers }
        }),
    )
}

/** Of two tries the one with fewer: the first may have had to find out what is remembered then. */
async function count({ path, headers }: Look): Promise<{ queries: string[]; shown: boolean }> {
  const one = () =>
    counted(() =>
      yard.cloud.api('GET', path, undefined, headers).then(
        () => true,
        () => false,
      ),
    )
  const [first, second] = [await one(), await one()]
  return { queries: first.queries.length < second.queries.length ? first.queries : second.queries, shown: second.answer }
}

const isList = ({ name }: Look) => !name.includes(':')
/** Of what is no list and has no number of its own in {@link QUERIES}. */
const FEW = 12
const FEW_TO_WRITE = 40

/** What was asked more often than before, or why it is told of. */
function more(name: string, before: string[], now: string[]): string[] {
  if (now.length <= before.length) return []
  const tally = (all: string[]) => Map.groupBy(all, (sql) => sql)
  const earlier = tally(before)
  const grown = [...tally(now)].filter(([sql, times]) => times.length > (earlier.get(sql)?.length ?? 0)).map(([sql]) => sql)
  return [`${name}: ${before.length} queries with a third of the rows, now ${now.length}, e.g. ${grown[0]}`]
}

test('no request makes more queries for many rows than for few, and each makes few', { timeout: 900_000 }, async () => {
  await sower.prepare()
  await sower.reap(await sower.sow()) // whatever is made or remembered at the first time
  const elder = await sower.sow()
  sower.writes = new Map()
  await sower.extend(elder)
  await sower.reap(await sower.sow())
  const few = new Map<string, Awaited<ReturnType<typeof count>>>()
  for (const look of await looks(elder)) few.set(look.name, await count(look))
  const fewWrites = sower.writes

  for (let i = 0; i < 4; i++) {
    await sower.sow()
    await sower.extend(elder)
  }
  sower.writes = new Map()
  await sower.extend(elder)
  await sower.reap(await sower.sow())
  const wrong: string[] = []
  const table: string[] = []
  for (const look of await looks(elder)) {
    const [before, now] = [few.get(look.name)!, await count(look)]
    table.push(`${now.queries.length} ${look.name}${now.shown ? '' : ' (refused)'}`)
    wrong.push(...more(look.name, before.queries, now.queries))
    const most = isList(look) ? (QUERIES[look.name] ?? -1) : (QUERIES[look.name] ?? FEW)
    if (now.queries.length > most) wrong.push(`${look.name}: ${now.queries.length} queries, ${most < 0 ? 'none' : most} written down`)
    if (!now.shown && !REFUSED.some((one) => one.test(look.name))) wrong.push(`${look.name} is refused: ${look.path}`)
  }
  for (const [name, now] of sower.writes) {
    table.push(`${now.length} ${name}`)
    wrong.push(...more(name, fewWrites.get(name)!, now))
    if (now.length > FEW_TO_WRITE) wrong.push(`${name}: ${now.length} queries`)
  }
  if (process.env.YUN_TEST_VERBOSE) console.log(table.join('\n'))
  assert.ok(table.length > 250, `${table.length} requests`)
  assert.deepEqual(wrong, [])
})
