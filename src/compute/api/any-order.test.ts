import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { within } from '../../kernel/http/pace.ts'
import { requestOf, vifsOf } from '../app/instance-spec.ts'
import type { VmState } from '../app/rows.ts'
import { POWER } from '../app/server-state.ts'
import { computeTopic, OVER, host as onHost } from '../rpc.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open({ hosts: 2 })
})
after(() => house.stop())

/** What can be done with a server, each in words that its route takes. */
type Deed = (id: string) => Promise<{ method: string; path: string; body?: object } | null>

const act =
  (body: object): Deed =>
  async () => ({ method: 'POST', path: '/action', body })

async function volumeOf(id: string): Promise<string | undefined> {
  return (await house.ask('GET', `/servers/${id}/os-volume_attachments`, { as: 'admin' })).body.volumeAttachments?.at(-1)?.volumeId
}

const deeds: Record<string, Deed> = {
  start: act({ 'os-start': null }),
  stop: act({ 'os-stop': null }),
  'soft reboot': act({ reboot: { type: 'SOFT' } }),
  'hard reboot': act({ reboot: { type: 'HARD' } }),
  pause: act({ pause: null }),
  unpause: act({ unpause: null }),
  suspend: act({ suspend: null }),
  resume: act({ resume: null }),
  rescue: act({ rescue: null }),
  unrescue: act({ unrescue: null }),
  shelve: act({ shelve: null }),
  offload: act({ shelveOffload: null }),
  unshelve: act({ unshelve: null }),
  enlarge: async () => ({ method: 'POST', path: '/action', body: { resize: { flavorRef: house.yard.largeFlavorId } } }),
  shrink: async () => ({ method: 'POST', path: '/action', body: { resize: { flavorRef: house.yard.flavorId } } }),
  confirm: act({ confirmResize: null }),
  revert: act({ revertResize: null }),
  rebuild: async () => ({ method: 'POST', path: '/action', body: { rebuild: { imageRef: house.yard.imageId } } }),
  picture: act({ createImage: { name: 'picture' } }),
  migrate: act({ migrate: null }),
  'live migrate': act({ 'os-migrateLive': { host: null, block_migration: 'auto' } }),
  evacuate: act({ evacuate: {} }),
  'reset to active': act({ 'os-resetState': { state: 'active' } }),
  'reset to error': act({ 'os-resetState': { state: 'error' } }),
  delete: async () => ({ method: 'DELETE', path: '' }),
  'one more port': async () => ({ method: 'POST', path: '/os-interface', body: {} }),
  'one port less': async (id) => {
    const port = (await house.ask('GET', `/servers/${id}/os-interface`, { as: 'admin' })).body.interfaceAttachments?.at(-1)?.port_id
    return port ? { method: 'DELETE', path: `/os-interface/${port}` } : null
  },
  'one more volume': async () => ({
    method: 'POST',
    path: '/os-volume_attachments',
    body: { volumeAttachment: { volumeId: await house.yard.volume() } },
  }),
  'one volume less': async (id) => {
    const volume = await volumeOf(id)
    return volume ? { method: 'DELETE', path: `/os-volume_attachments/${volume}` } : null
  },
  'another volume': async (id) => {
    const volume = await volumeOf(id)
    const body = async () => ({ volumeAttachment: { volumeId: await house.yard.volume() } })
    return volume ? { method: 'PUT', path: `/os-volume_attachments/${volume}`, body: await body() } : null
  },
}

/** ms for all that was begun to come to an end. */
const REST_MS = 30_000

test('whatever is asked of a server in whatever order: never a 5xx, and all comes to rest', { timeout: 600_000 }, async () => {
  const steps = fc.array(fc.record({ deed: fc.constantFrom(...Object.keys(deeds)), waited: fc.boolean() }), { minLength: 2, maxLength: 8 })
  const property = fc.asyncProperty(fc.boolean(), steps, async (onVolume, wanted) => {
    const id = await house.yard.request(onVolume ? house.yard.onVolume() : {})
    const said: string[] = []
    for (const { deed, waited } of wanted) {
      if (waited) await within(REST_MS, house.yard.settled(), () => new Error(`not at rest: ${said.join(', ')}`))
      const asked = await deeds[deed]!(id)
      if (!asked) continue
      const { method, path, body } = asked
      const answer = await house.ask(method, `/servers/${id}${path}`, { as: 'admin', at: '2.79', body })
      said.push(`${deed} ${answer.status}`)
      assert.ok(answer.status < 500, `${said.join(', ')}: ${answer.message}`)
    }
    await within(REST_MS, house.yard.settled(), () => new Error(`not at rest: ${said.join(', ')}`))
    await house.remove(id)
    assert.equal((await house.ask('GET', `/servers/${id}`, { as: 'admin' })).status, 404, said.join(', '))
    assert.deepEqual(await house.yard.leaks(), [], said.join(', '))
  })
  await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 40), endOnFailure: true })
})

/** Things that several servers may want at once. */
interface Common {
  servers: string[]
  port: string
  volume: string
  /** Several servers may have it. */
  shared: string
  /** Those of which an operator said what they are, true or not. */
  reset: Set<string>
}

type Asked = { method: string; path: string; body?: object } | null
type SharedDeed = (common: Common, id: string) => Promise<Asked>

const ofHost =
  (body: object): SharedDeed =>
  async (_common, id) => {
    const { db } = house.yard.context.database
    const query = db.selectFrom('hosts').innerJoin('instances', 'instances.host', 'hosts.host').select('service_id')
    const found = await query.where('instances.id', '=', id).executeTakeFirst()
    return found ? { method: 'PUT', path: `/os-services/${found.service_id}`, body } : null
  }

const common: Record<string, SharedDeed> = {
  ...Object.fromEntries(
    Object.entries(deeds).map(([name, deed]): [string, SharedDeed] => [
      name,
      async (made, id) => {
        if (name.startsWith('reset to')) made.reset.add(id)
        const asked = await deed(id)
        return asked && { ...asked, path: `/servers/${id}${asked.path}` }
      },
    ]),
  ),
  'the port': async ({ port }, id) => ({
    method: 'POST',
    path: `/servers/${id}/os-interface`,
    body: { interfaceAttachment: { port_id: port } },
  }),
  'not the port': async ({ port }, id) => ({ method: 'DELETE', path: `/servers/${id}/os-interface/${port}` }),
  'the volume': async ({ volume }, id) => ({
    method: 'POST',
    path: `/servers/${id}/os-volume_attachments`,
    body: { volumeAttachment: { volumeId: volume } },
  }),
  'not the volume': async ({ volume }, id) => ({ method: 'DELETE', path: `/servers/${id}/os-volume_attachments/${volume}` }),
  'the shared volume': async ({ shared }, id) => ({
    method: 'POST',
    path: `/servers/${id}/os-volume_attachments`,
    body: { volumeAttachment: { volumeId: shared } },
  }),
  'not the shared volume': async ({ shared }, id) => ({ method: 'DELETE', path: `/servers/${id}/os-volume_attachments/${shared}` }),
  'the host is down': ofHost({ forced_down: true }),
  'the host is up': ofHost({ forced_down: false }),
  'the host is disabled': ofHost({ status: 'disabled' }),
  'break off': async (_common, id) => {
    const [migration] = (await house.ask('GET', `/servers/${id}/migrations`, { as: 'admin', at: '2.79' })).body.migrations ?? []
    return migration ? { method: 'DELETE', path: `/servers/${id}/migrations/${migration.id}` } : null
  },
  rename: async (_common, id) => ({ method: 'PUT', path: `/servers/${id}`, body: { server: { name: 'new' } } }),
}

const ask = fc.record({ deed: fc.constantFrom(...Object.keys(common)), n: fc.nat(3) })
const together = fc.array(fc.record({ asks: fc.array(ask, { minLength: 1, maxLength: 3 }), waited: fc.boolean() }), {
  minLength: 1,
  maxLength: 6,
})

test('whatever is asked of servers at once: never a 5xx, and what the API says is what there is', { timeout: 900_000 }, async () => {
  const property = fc.asyncProperty(together, async (wanted) => {
    const made = await furnished()
    const said: string[] = []
    const rest = () => within(REST_MS, house.yard.settled(), () => new Error(`not at rest: ${said.join(', ')}`))
    await rest()
    for (const { asks, waited } of wanted) {
      if (waited) await rest()
      said.push('|')
      await Promise.all(
        asks.map(async ({ deed, n }) => {
          const which = n === 3 ? 1 : 0 // most of them meet at one
          const what = await common[deed]!(made, made.servers[which]!)
          if (!what) return
          const answer = await house.ask(what.method, what.path, { as: 'admin', at: '2.79', body: what.body })
          said.push(`${deed} ${which} ${answer.status}`)
          if (deed === 'delete') assert.ok([204, 404].includes(answer.status), `${said.join(', ')}: ${answer.message}`)
          assert.ok(answer.status < 500, `${said.join(', ')}: ${answer.message}`)
        }),
      )
    }
    await rest()
    await hostsComeBack()
    assert.deepEqual(
      await eventually(
        () => wrong(made),
        (found) => found.length === 0,
      ),
      [],
      said.join(', '),
    )
    await house.remove(...made.servers)
    assert.deepEqual(
      await eventually(
        () => cleared(made),
        (found) => found.length === 0,
      ),
      [],
      said.join(', '),
    )
  })
  await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 15), endOnFailure: true })
})

async function furnished(): Promise<Common> {
  const { yard } = house
  const { api } = yard.cloud
  const { port } = await api('POST', '/network/v2.0/ports', { port: { network_id: yard.networkId } })
  const { volume } = await api('POST', '/volume/v3/volumes', { volume: { size: 1, multiattach: true } })
  const servers = [await yard.request(), await yard.request()]
  return { servers, port: port.id, volume: await yard.volume(), shared: volume.id, reset: new Set() }
}

/** Hosts that were said to be down hear what is not theirs any more when they report, which they do when something changes. */
async function hostsComeBack(): Promise<void> {
  const { database, bus } = house.yard.context
  for (const { host, service_id } of await database.db.selectFrom('hosts').select(['host', 'service_id']).execute()) {
    const body = { forced_down: false, status: 'enabled' }
    await house.ask('PUT', `/os-services/${service_id}`, { as: 'admin', at: '2.79', body })
    await bus.call(computeTopic(host), onHost.unclaim, { uuid: randomUUID() })
  }
}

const AS_ITS_GUEST: Partial<Record<VmState, string[]>> = {
  active: ['running'],
  stopped: ['shutdown', 'nostate'],
  paused: ['paused'],
  suspended: ['suspended', 'shutdown'],
}

/** Where what the API says and what there is are two things. */
async function wrong(made: Common): Promise<string[]> {
  const { context } = house.yard
  const { db } = context.database
  const found: string[] = []
  const differ = (what: string, one: string[], other: string[]) => {
    const [a, b] = [one, other].map((all) => all.sort().join())
    if (a !== b) found.push(`${what}: ${a || 'none'}, not ${b || 'none'}`)
  }
  const attachments = await context.volumes.attachments({ all_tenants: '1' })
  for (const row of await db.selectFrom('instances').selectAll().where('id', 'in', made.servers).execute()) {
    const { id, vm_state: state } = row
    const devices = await db.selectFrom('block_devices').selectAll().where('server_id', '=', id).execute()
    const own = attachments.filter((one) => one.instance === id).map((one) => one.id)
    differ(
      `attachments of ${id} (${state})`,
      own,
      devices.map((one) => one.id),
    )
    if (new Set(devices.map((one) => one.volume_id)).size < devices.length) found.push(`${id} has a volume twice`)
    if (row.deleted) continue
    const ports = (await context.networks.ports({ device_id: id })).map((one) => one.id)
    const cards = vifsOf(row).map((one) => one.portId)
    differ(`ports of ${id} (${state})`, ports, cards)
    differ(
      `wishes of ${id} (${state})`,
      requestOf(row).networks.map((one) => one.portId),
      cards,
    )
    if (row.task_state !== null || row.held_task !== null) found.push(`${id} is ${row.task_state ?? row.held_task}`)
    if (!row.host || state === 'error' || made.reset.has(id)) continue
    const { powerState } = await context.bus.call(computeTopic(row.host), onHost.powerState, { uuid: id })
    if (POWER[powerState] !== row.power_state) found.push(`${id} is ${state}, power ${row.power_state}, and its guest is ${powerState}`)
    if (AS_ITS_GUEST[state]?.includes(powerState) === false) found.push(`${id} is ${state}, and its guest is ${powerState}`)
  }
  const open = await db
    .selectFrom('migrations')
    .selectAll()
    .where('status', 'not in', [...OVER, 'finished'])
    .execute()
  for (const one of open) found.push(`the ${one.type} of ${one.server_id} is ${one.status}`)
  return [...found, ...(await house.yard.leaks())]
}

/** Without its servers: what they were given is the user's again. */
async function cleared(made: Common): Promise<string[]> {
  const { context } = house.yard
  const found: string[] = []
  const [port] = await context.networks.ports({ id: made.port })
  if (port?.device_id !== '') found.push(`the port is ${port ? `of ${port.device_id}` : 'gone'}`)
  for (const id of [made.volume, made.shared]) {
    const { status } = await context.volumes.volume(id)
    if (status !== 'available') found.push(`volume ${id} is ${status}`)
  }
  return [...found, ...(await house.yard.leaks())]
}
