import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { eachDatabaseUrl, throughAnotherNode } from '../../kernel/db/testing.ts'
import { within } from '../../kernel/http/pace.ts'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { control, NETWORK_CONTROL } from '../rpc.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'
import { contradictions, leftovers } from '../whole-testing.ts'
import { among, deeds, KINDS, type Kind, type Made, NOUNS } from './deeds-testing.ts'

/** ms for all that was begun to come to an end. */
const REST_MS = 10_000

const who = fc.constantFrom('member', 'member', 'member', 'admin', 'other')
const number = fc.oneof(fc.nat(2), fc.nat(11))
const ask = fc.record({ deed: fc.constantFrom(...Object.keys(deeds)), n: number, m: number, as: who })
const several = fc.array(ask, { minLength: 1, maxLength: 4 })
/** Some are about the same things. */
const step = fc.oneof(
  several,
  several.map((all) => all.map((one) => ({ ...one, n: all[0]!.n, m: all[0]!.m }))),
)
const steps = fc.array(step, { minLength: 2, maxLength: 14 })

eachDatabaseUrl((fresh) => {
  let house: NetworkHouse
  /** Where several may work on the database, two processes do. */
  let houses: NetworkHouse[]
  let said: string[]
  before(async () => {
    const databaseUrl = await fresh()
    const alone = databaseUrl.startsWith('sqlite:')
    house = await networkHouse({ databaseUrl, exclusive: alone })
    houses = alone ? [house] : [house, await networkHouse({ databaseUrl: throughAnotherNode(databaseUrl), exclusive: false })]
  })
  after(async () => {
    for (const one of houses) await one.close()
  })
  const db = () => house.service.context.database.db

  test('whatever is asked of networks in whatever order, one after the other and at once: never a 5xx, and all fits together', {
    timeout: 900_000,
  }, async () => {
    const property = fc.asyncProperty(steps, async (wanted) => {
      said = []
      const made = await furnished()
      for (const asked of wanted) await Promise.all(asked.map((one, i) => did(among(houses, i), made, one)))
      await rest()
      await told(made)
      assert.deepEqual([...(await contradictions(db(), made.claims)), ...(await miscounted())], [], said.join(', '))
      assert.deepEqual(await cleared(), [], said.join(', '))
    })
    await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? (houses.length > 1 ? 8 : 15)), endOnFailure: true })
  })

  /** A small cloud: a way outside, a pool for all, and a project's router with a port behind it that has a floating address. */
  async function furnished(): Promise<Made> {
    for (const host of ['one', 'two']) await house.agents(host)
    const made: Made = { ...(Object.fromEntries(KINDS.map((kind) => [kind, []])) as any), agents: [], claims: new Set() }
    made.agents = (await house.request('GET', '/agents')).body.agents
    const outside = await house.outside()
    await house.request('PUT', `/networks/${outside.network.id}`, { body: { network: { is_default: true } } })
    const pool = { name: 'all', prefixes: ['10.60.0.0/24'], default_prefixlen: 28, is_default: true, shared: true }
    made.subnetpools.push(await house.make('/subnetpools', 'subnetpool', pool))
    const own = await house.network('10.1.0.0/28', 'member')
    made.networks.push(outside.network, own.network)
    made.subnets.push(outside.subnet, own.subnet)
    const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.network.id } }, 'member')
    await house.request('PUT', `/routers/${router.id}/add_router_interface`, { as: 'member', body: { subnet_id: own.subnet.id } })
    const port = await house.make('/ports', 'port', { network_id: own.network.id }, 'member')
    made.routers.push(router)
    made.ports.push(port, ...(await house.request('GET', '/ports')).body.ports.filter((one: any) => one.id !== port.id))
    const floating = { floating_network_id: outside.network.id, port_id: port.id }
    made.floatingips.push(await house.make('/floatingips', 'floatingip', floating, 'member'))
    made['security-groups'].push(await house.make('/security-groups', 'security_group', { name: 'group' }, 'member'))
    return made
  }

  async function did(
    through: NetworkHouse,
    made: Made,
    { deed, n, m, as }: { deed: string; n: number; m: number; as: string },
  ): Promise<void> {
    const what = deeds[deed]!(made, { n, m })
    if (!what) return
    if ('say' in what) {
      said.push(deed)
      await what.say(through)
      return
    }
    const answer = await through.request(what.method, what.path, { as: what.as ?? as, body: what.body })
    said.push(`${deed} ${what.as ?? as} ${answer.status}`)
    assert.ok(answer.status < 500, `${said.join(', ')}: ${JSON.stringify(answer.body)}`)
    if (answer.status >= 300) return
    if (deed.endsWith('of a router')) made.claims.add(answer.body.port.id)
    for (const kind of KINDS) {
      const plural = kind.replaceAll('-', '_')
      for (const one of [answer.body?.[NOUNS[kind]] ?? [], answer.body?.[plural] ?? []].flat()) {
        const known = made[kind].findIndex(({ id }) => id === one.id)
        if (known >= 0) made[kind][known] = one
        else made[kind].push(one)
      }
    }
  }

  /** Until compute has heard all. */
  const rest = async () => {
    const delivered = async () => {
      while ((await db().selectFrom('notices').select('id').execute()).length > 0) await new Promise(setImmediate)
    }
    await within(REST_MS, delivered(), () => new Error(`not at rest: ${said.join(', ')}`))
  }

  /** Hosts can be told of all that is theirs. */
  async function told(made: Made): Promise<void> {
    for (const host of ['one', 'two']) {
      await house.bus.call(NETWORK_CONTROL, control.routers, { host })
      await house.bus.call(NETWORK_CONTROL, control.dhcpNetworks, { host })
    }
    await house.bus.call(NETWORK_CONTROL, control.deviceDetails, { host: 'one', portIds: made.ports.map((one) => one.id) })
    await house.bus.call(NETWORK_CONTROL, control.groupAddresses, { groupIds: made['security-groups'].map((one) => one.id) })
  }

  /** Where the use of quotas is not what there is. */
  async function miscounted(): Promise<string[]> {
    const found: string[] = []
    for (const project of [DEMO, OTHER]) {
      const { quota } = (await house.request('GET', `/quotas/${project}/details`)).body
      for (const kind of KINDS) {
        const rows = (await house.request('GET', `/${kind}?project_id=${project}`)).body[kind.replaceAll('-', '_')]
        if (rows.length !== quota[NOUNS[kind]].used)
          found.push(`${project} has ${rows.length} ${kind}, counted are ${quota[NOUNS[kind]].used}`)
      }
    }
    return found
  }

  /** Ends everything as an administrator would; what is left then. */
  async function cleared(): Promise<string[]> {
    const found: string[] = []
    const admin = async (method: string, path: string, body?: object) => {
      const answer = await house.request(method, path, { body })
      if (answer.status >= 300 && answer.status !== 404) found.push(`${method} ${path} ${answer.status}: ${JSON.stringify(answer.body)}`)
    }
    const all = async (kind: Kind) => (await house.request('GET', `/${kind}`)).body[kind.replaceAll('-', '_')] as any[]
    for (const { id } of await all('floatingips')) await admin('DELETE', `/floatingips/${id}`)
    for (const { id } of await all('routers')) await admin('PUT', `/routers/${id}`, { router: { routes: [], external_gateway_info: null } })
    for (const { id, device_id, device_owner } of await all('ports'))
      if (device_owner === 'network:router_interface' && device_id)
        await admin('PUT', `/routers/${device_id}/remove_router_interface`, { port_id: id })
    for (const { id } of await all('routers')) await admin('DELETE', `/routers/${id}`)
    for (const kind of ['ports', 'subnets', 'networks', 'subnetpools', 'security-groups'] as const)
      for (const { id } of await all(kind)) await admin('DELETE', `/${kind}/${id}`)
    for (const project of [DEMO, OTHER]) {
      await admin('DELETE', `/auto-allocated-topology/${project}`)
      await admin('DELETE', `/quotas/${project}`)
    }
    await rest()
    // whoever lists groups is given the default one: the administrator's own
    return [...found, ...(await leftovers(db()))]
  }
})
