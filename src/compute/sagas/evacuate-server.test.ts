import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { noReceiver } from '../../kernel/bus/bus.ts'
import { sagaTests } from '../../kernel/saga/testing.ts'
import { findInstance } from '../db/instances.ts'
import { COMPUTE_CONTROL, computeTopic, control, host as onHost } from '../rpc.ts'
import { evacuateServer } from './evacuate-server.ts'
import { eventually, recorded, worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open({ hosts: 2 })
})
after(() => yard.cloud.stop())

const world = worldOf(() => yard, {
  kind: evacuateServer.kind,
  status: 'ACTIVE',
  failed: ['ACTIVE', 'SHUTOFF'],
  input: async (at, id) => ({ migrationId: await recorded(at, id, 'evacuation'), target: null }),
})
sagaTests({ saga: evacuateServer, service: 'compute', world })

const act = (id: string, body: object, version = '2.93') =>
  yard.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, body, { 'openstack-api-version': `compute ${version}` })
const row = async (id: string) => (await findInstance(yard.context.database.db, id))!
async function isDown(host: string, down: boolean): Promise<void> {
  const version = { 'openstack-api-version': 'compute 2.53' }
  const { services } = await yard.cloud.api('GET', `/compute/v2.1/os-services?binary=nova-compute&host=${host}`, undefined, version)
  await yard.cloud.api('PUT', `/compute/v2.1/os-services/${services[0].id}`, { forced_down: down }, version)
}

test('a server is evacuated from a host that is down, and from no other; it keeps its address and port', async () => {
  const id = await yard.server()
  const source = (await row(id)).host!
  const other = source === 'node1' ? 'node2' : 'node1'
  await assert.rejects(act(id, { evacuate: {} }), /still in use/)
  await assert.rejects(act(id, { evacuate: { onSharedStorage: false } }, '2.14'), /onSharedStorage/)
  await assert.rejects(act(id, { evacuate: { force: true } }, '2.28'), /force/)
  await assert.rejects(act(id, { evacuate: { force: true } }, '2.68'), /force/)
  await isDown(source, true)
  await assert.rejects(act(id, { evacuate: { host: source } }), /can't be the same/)
  await assert.rejects(act(id, { evacuate: { host: 'nowhere' } }), /404/)
  const before = await yard.context.networks.ports({ device_id: id })
  assert.ok((await act(id, { evacuate: { host: other } })).adminPass)
  await yard.settled()
  assert.equal((await row(id)).host, other)
  const now = await yard.context.networks.ports({ device_id: id })
  assert.deepEqual(
    now.map((port: any) => [port.id, port.fixed_ips, port['binding:host_id']]),
    before.map((port: any) => [port.id, port.fixed_ips, other]),
  )
  const [migration] = (await yard.cloud.api('GET', `/compute/v2.1/os-migrations?instance_uuid=${id}`)).migrations
  assert.deepEqual([migration.status, migration.source_compute, migration.dest_compute], ['done', source, other])
  // what the old host says of the guest that it parts with is not the server's story
  const word = { uuid: id, powerState: 'shutdown' as const, event: 'stopped destroyed', at: new Date().toISOString() }
  await yard.cloud.bus.call(COMPUTE_CONTROL, control.powerChanged, { host: source, ...word })
  assert.equal((await row(id)).vm_state, 'active')
  await yard.cloud.bus.call(COMPUTE_CONTROL, control.powerChanged, { host: other, ...word })
  assert.equal((await row(id)).vm_state, 'stopped')
  await isDown(source, false)
  assert.deepEqual(
    await eventually(
      () => yard.leaks(),
      (leaks) => leaks.length === 0,
    ),
    [],
  )
  await yard.remove(id)
})

test('a stopped one is stopped there too', async () => {
  const id = await yard.server()
  await act(id, { 'os-stop': null })
  await yard.settled()
  const source = (await row(id)).host!
  await isDown(source, true)
  await act(id, { evacuate: {} })
  await yard.settled()
  assert.notEqual((await row(id)).host, source)
  assert.equal((await row(id)).vm_state, 'stopped')
  await isDown(source, false)
  await yard.remove(id)
})

test('a server of a host that is down is deleted without it; the host parts with the guest when it comes back', async () => {
  const id = await yard.server()
  const { host } = await row(id)
  await isDown(host!, true)
  // what is on the dead machine does not hear of it, nor does it ask
  const asked: string[] = []
  const call = yard.cloud.bus.call.bind(yard.cloud.bus)
  yard.cloud.bus.call = async (topic, message, ...rest) => {
    if (topic === COMPUTE_CONTROL && message.name === control.departed.name) throw noReceiver(topic, message.name)
    if (topic === computeTopic(host!)) asked.push(message.name)
    return await call(topic, message, ...rest)
  }
  await yard.cloud.api('DELETE', `/compute/v2.1/servers/${id}`)
  await yard.settled()
  assert.deepEqual(asked, [])
  assert.equal((await row(id)).vm_state, 'deleted')
  const left = await yard.leaks()
  assert.ok(
    left.some((one) => one.startsWith('domain')),
    left.join('\n'),
  )
  yard.cloud.bus.call = call
  await isDown(host!, false)
  const guests = await yard.cloud.bus.call(COMPUTE_CONTROL, control.departed, { host: host!, uuids: [id] })
  assert.deepEqual(
    guests.map((one) => one.uuid),
    [id],
  )
  await yard.cloud.bus.call(computeTopic(host!), onHost.unclaim, { uuid: randomUUID() }) // a change is reported
  assert.deepEqual(
    await eventually(
      () => yard.leaks(),
      (leaks) => leaks.length === 0,
    ),
    [],
  )
})

test('a host that goes down in the middle of a deletion parts with the rest when it comes back', async () => {
  const id = await yard.server()
  const host = (await row(id)).host!
  const { bus } = yard.cloud
  const call = bus.call.bind(bus)
  bus.call = async (topic, message, ...rest) => {
    const answer = await call(topic, message, ...rest)
    if (message.name === onHost.undefine.name) await isDown(host, true)
    return answer
  }
  await yard.cloud.api('DELETE', `/compute/v2.1/servers/${id}`)
  await yard.settled()
  bus.call = call
  assert.match((await yard.leaks()).join(), /claim/)
  await isDown(host, false)
  await bus.call(computeTopic(host), onHost.unclaim, { uuid: randomUUID() }) // a change is reported
  assert.deepEqual(
    await eventually(
      () => yard.leaks(),
      (leaks) => leaks.length === 0,
    ),
    [],
  )
})

test('a server that was shelved and then deleted while its host was down is no more there when that comes back', async () => {
  const id = await yard.server()
  const { host } = await row(id)
  await isDown(host!, true)
  const { bus } = yard.cloud
  const cast = bus.cast.bind(bus)
  bus.cast = async (topic, message, ...rest) => {
    if (message.name !== onHost.dismiss.name) await cast(topic, message, ...rest)
  }
  // the picture is taken while the host only counts as down: it answers
  await act(id, { shelve: null })
  await yard.settled()
  assert.deepEqual([(await row(id)).vm_state, (await row(id)).host], ['shelved_offloaded', null])
  const departed = async () => (await bus.call(COMPUTE_CONTROL, control.departed, { host: host!, uuids: [id] })).map((one) => one.uuid)
  assert.deepEqual(await departed(), [id])
  await yard.cloud.api('DELETE', `/compute/v2.1/servers/${id}`)
  await yard.settled()
  assert.deepEqual(await departed(), [id])
  bus.cast = cast
  await isDown(host!, false)
  await bus.call(computeTopic(host!), onHost.unclaim, { uuid: randomUUID() }) // a change is reported
  assert.deepEqual(
    await eventually(
      () => yard.leaks(),
      (leaks) => leaks.length === 0,
    ),
    [],
  )
})

test('a host that comes back parts also with ports that the server lost while it was away', async () => {
  const id = await yard.server()
  const { host } = await row(id)
  await isDown(host!, true)
  const { bus } = yard.cloud
  const [call, cast] = [bus.call.bind(bus), bus.cast.bind(bus)]
  const unheard = [control.departed.name, onHost.dismiss.name]
  bus.call = async (topic, message, ...rest) => {
    if (unheard.includes(message.name)) throw noReceiver(topic, message.name)
    return await call(topic, message, ...rest)
  }
  bus.cast = async (topic, message, ...rest) => {
    if (!unheard.includes(message.name)) await cast(topic, message, ...rest)
  }
  await act(id, { evacuate: {} })
  await yard.settled()
  const [port] = await yard.context.networks.ports({ device_id: id })
  await yard.cloud.api('DELETE', `/compute/v2.1/servers/${id}/os-interface/${port!.id}`)
  await yard.settled()
  const left = await yard.leaks()
  assert.ok(left.includes(`switch port qvo${port!.id.slice(0, 11)} on ${host}: nothing has the id ${port!.id}`), left.join('\n'))
  Object.assign(bus, { call, cast })
  await isDown(host!, false)
  await yard.cloud.bus.call(computeTopic(host!), onHost.unclaim, { uuid: randomUUID() }) // a change is reported
  assert.deepEqual(
    await eventually(
      () => yard.leaks(),
      (leaks) => leaks.length === 0,
    ),
    [],
  )
  await yard.remove(id)
})
