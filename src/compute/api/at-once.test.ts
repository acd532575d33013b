import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { RequestContext } from '../../kernel/http/context.ts'
import { attachVolume, detachInterface, detachVolume } from '../app/attachment.ts'
import { evacuate } from '../app/evacuate.ts'
import { updateHost } from '../app/host.ts'
import { requestOf } from '../app/instance-spec.ts'
import { abortLiveMigration } from '../app/live-migrate.ts'
import { changeMigration, findMigration, listMigrations } from '../app/migration.ts'
import { changeRequest } from '../app/server-request.ts'
import { move } from '../app/server-state.ts'
import { findInstance } from '../db/instances.ts'
import { host as onHost } from '../rpc.ts'
import { attachInterface } from '../sagas/attach-interface.ts'
import { rebootServer } from '../sagas/power.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open({ hosts: 2 })
})
after(() => house.stop())

const portsOf = async (id: string): Promise<string[]> =>
  (await house.ask('GET', `/servers/${id}/os-interface`, { as: 'admin' })).body.interfaceAttachments.map((one: any) => one.port_id)
const cardsOf = async (id: string): Promise<string[]> => {
  const { db } = house.yard.context.database
  const { network_info_json } = await db.selectFrom('instances').select('network_info_json').where('id', '=', id).executeTakeFirstOrThrow()
  return JSON.parse(network_info_json).map((one: any) => one.portId)
}

describe('a port that is given', () => {
  const port = async (): Promise<string> => {
    const body = { port: { network_id: house.yard.networkId } }
    return (await house.request('POST', '/network/v2.0/ports', { body })).body.port.id
  }
  const device = async (id: string) => (await house.request('GET', `/network/v2.0/ports/${id}`)).body.port.device_id
  const attach = (server: string, id: string) =>
    house.ask('POST', `/servers/${server}/os-interface`, { body: { interfaceAttachment: { port_id: id } } })

  test('to two servers at once is the first one’s, and stays it when the other goes', async () => {
    const given = await port()
    const servers = [(await house.server()).id, (await house.server()).id]
    const answers = await Promise.all(servers.map((id) => attach(id, given)))
    assert.deepEqual(answers.map((one) => one.status).sort(), [200, 409])
    const first = servers[answers.findIndex((one) => one.status === 200)]!
    const other = servers.find((id) => id !== first)!
    assert.equal(await device(given), first)
    for (const id of servers) assert.deepEqual((await cardsOf(id)).sort(), (await portsOf(id)).sort())
    await house.remove(other)
    assert.equal(await device(given), first)
    await house.remove(first)
    assert.equal(await device(given), '')
  })

  test('to one server twice at once comes to it once', async () => {
    const given = await port()
    const { id } = await house.server()
    assert.deepEqual((await Promise.all([attach(id, given), attach(id, given)])).map((one) => one.status).sort(), [200, 409])
    assert.equal(await device(given), id)
    assert.deepEqual((await cardsOf(id)).sort(), (await portsOf(id)).sort())
    await house.remove(id)
    assert.equal(await device(given), '')
  })

  test('to two new servers at once is the first one’s', async () => {
    const given = await port()
    const wish = house.wish({ networks: [{ port: given }] })
    const made = await Promise.all([wish, wish].map((body) => house.ask('POST', '/servers', { body })))
    assert.deepEqual(
      made.map((one) => one.status),
      [202, 202],
    )
    const servers = await Promise.all(made.map((one) => house.rested(one.body.server.id)))
    assert.deepEqual(servers.map((one) => one.status).sort(), ['ACTIVE', 'ERROR'])
    const [first, other] = ['ACTIVE', 'ERROR'].map((status) => servers.find((one) => one.status === status).id)
    assert.equal(await device(given), first)
    await house.remove(other)
    assert.equal(await device(given), first)
    await house.remove(first)
    assert.equal(await device(given), '')
  })
})

describe('a volume', () => {
  const shared = async (): Promise<string> => {
    const body = { volume: { size: 1, multiattach: true } }
    const { volume } = (await house.request('POST', '/volume/v3/volumes', { body })).body
    const show = async () => (await house.request('GET', `/volume/v3/volumes/${volume.id}`)).body.volume
    await eventually(show, (now) => now.status === 'available')
    return volume.id
  }
  const attach = (server: string, volumeId: string) =>
    house.ask('POST', `/servers/${server}/os-volume_attachments`, { body: { volumeAttachment: { volumeId } }, at: '2.60' })

  test('that several may have comes to one server once', async () => {
    const id = await shared()
    const { id: server } = await house.server()
    const answers = await Promise.all([attach(server, id), attach(server, id)])
    assert.deepEqual(answers.map((one) => one.status).sort(), [200, 400])
    await house.yard.settled()
    const again = await attach(server, id)
    assert.deepEqual([again.status, again.message], [400, `Invalid volume: volume ${id} already attached`])
    const { volumeAttachments } = (await house.ask('GET', `/servers/${server}/os-volume_attachments`)).body
    assert.deepEqual(
      volumeAttachments.map((one: any) => one.volumeId),
      [id],
    )
    await house.remove(server)
  })

  test('does not come to, nor go from, a server that another operation took meanwhile; nor does a port', async () => {
    const { context } = house.yard
    const { id: server } = await house.server()
    const [one, two] = [await shared(), await shared()]
    assert.equal((await attach(server, one)).status, 200)
    await house.yard.settled()
    const seen = (await findInstance(context.database.db, server))!
    const [port] = await portsOf(server)
    assert.equal((await house.ask('POST', `/servers/${server}/action`, { body: { suspend: null } })).status, 202)
    const request = { isAdmin: true, requestId: 'req-1', token: house.token('member') } as RequestContext
    const wanted = { volumeId: two, device: null, tag: null, deleteOnTermination: false, sharedToo: true }
    const inTheWay = { status: 409, message: /task_state suspending|vm_state suspended/ }
    await assert.rejects(attachVolume(context, request, seen, wanted), inTheWay)
    await assert.rejects(detachVolume(context, request, seen, one), inTheWay)
    await assert.rejects(detachInterface(context, request, seen, port!), inTheWay)
    await house.yard.settled()
    assert.deepEqual(await portsOf(server), [port])
    await house.remove(server)
  })
})

test('a live migration that goes on or is over while it is called off says so', async () => {
  const { context } = house.yard
  const { db } = context.database
  const { id } = await house.server()
  const body = { 'os-migrateLive': { host: null, block_migration: 'auto' } }
  assert.equal((await house.ask('POST', `/servers/${id}/action`, { as: 'admin', body, at: '2.79' })).status, 202)
  await house.yard.settled()
  const [over] = await listMigrations(db, { serverId: id })
  assert.equal(over!.status, 'completed')
  const call = context.bus.call.bind(context.bus)
  const asked: string[] = []
  context.bus.call = async (topic, message, ...rest) => {
    if (message.name !== onHost.abortMigration.name) return await call(topic, message, ...rest)
    asked.push(message.name)
    return undefined as never
  }
  const abort = (status: string) => abortLiveMigration(context, { ...over!, status }, { alsoBefore: true })
  const status = async () => (await findMigration(db, over!.id))!.status
  for (const seen of ['preparing', 'running']) {
    await assert.rejects(abort(seen), { status: 400, message: /is completed/ })
    assert.equal(await status(), 'completed')
  }
  assert.equal(asked.length, 1)
  await changeMigration(db, over!.id, { status: 'running' })
  await abort('preparing') // it has begun by now
  assert.deepEqual([asked.length, await status()], [2, 'cancelled'])
  context.bus.call = call
  await house.remove(id)
})

test('a server that is being deleted is so also when the last step of what was under way ends meanwhile; nothing else begins', async () => {
  const { context } = house.yard
  const { bus } = context
  const { id } = await house.server()
  const call = bus.call.bind(bus)
  const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  bus.call = async (topic, message, ...rest) => {
    if (message.name === onHost.destroy.name) {
      asked.resolve()
      await goOn.promise
    }
    return await call(topic, message, ...rest)
  }
  assert.equal((await house.ask('DELETE', `/servers/${id}`)).status, 204)
  await asked.promise
  await rebootServer.steps.at(-1)!.action({ world: context, input: { serverId: id } } as any)
  const { server } = (await house.ask('GET', `/servers/${id}`)).body
  assert.equal(server['OS-EXT-STS:task_state'], 'deleting')
  for (const body of [{ migrate: null }, { 'os-stop': null }])
    assert.equal((await house.ask('POST', `/servers/${id}/action`, { as: 'admin', body })).status, 409)
  goOn.resolve()
  await house.yard.settled()
  bus.call = call
  assert.equal((await house.ask('GET', `/servers/${id}`)).status, 404)
  assert.deepEqual(await house.yard.leaks(), [])
})

test('a server that an operator says is in error while something is under way comes out of it as what it is', async () => {
  const { bus } = house.yard.context
  const call = bus.call.bind(bus)
  const { largeFlavorId: flavorRef } = house.yard
  for (const { body, held, status } of [
    { body: { resize: { flavorRef } }, held: onHost.keepDisk, status: 'VERIFY_RESIZE' },
    { body: { shelve: null }, held: onHost.snapshot, status: 'SHELVED_OFFLOADED' },
    { body: { suspend: null }, held: onHost.suspend, status: 'SUSPENDED' },
  ]) {
    const { id } = await house.server()
    const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    bus.call = async (topic, message, ...rest) => {
      if (message.name === held.name) {
        asked.resolve()
        await goOn.promise
      }
      return await call(topic, message, ...rest)
    }
    const say = async (what: object) => (await house.ask('POST', `/servers/${id}/action`, { as: 'admin', body: what })).status
    assert.equal(await say(body), 202)
    await asked.promise
    assert.equal(await say({ 'os-resetState': { state: 'error' } }), 202)
    goOn.resolve()
    await house.yard.settled()
    bus.call = call
    const { server } = (await house.ask('GET', `/servers/${id}`)).body
    assert.deepEqual([server.status, server['OS-EXT-STS:task_state']], [status, null])
    await house.remove(id)
  }
  assert.deepEqual(await house.yard.leaks(), [])
})

test('what is under way with a server that an operator resets keeps it from others until it is over', async () => {
  const { bus } = house.yard.context
  const call = bus.call.bind(bus)
  const { id } = await house.server()
  const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  bus.call = async (topic, message, ...rest) => {
    if (message.name === onHost.suspend.name) {
      asked.resolve()
      await goOn.promise
    }
    return await call(topic, message, ...rest)
  }
  const say = (body: object, path = 'action') => house.ask('POST', `/servers/${id}/${path}`, { as: 'admin', body })
  const shown = async () => {
    const { server } = (await house.ask('GET', `/servers/${id}`)).body
    return [server.status, server['OS-EXT-STS:task_state']]
  }
  assert.equal((await say({ suspend: null })).status, 202)
  await asked.promise
  for (const state of ['error', 'active']) assert.equal((await say({ 'os-resetState': { state } })).status, 202)
  assert.deepEqual(await shown(), ['ACTIVE', null])
  for (const [path, body] of [
    ['action', { pause: null }],
    ['action', { reboot: { type: 'HARD' } }],
    ['os-interface', {}],
  ] as const) {
    const refused = await say(body, path)
    assert.deepEqual([refused.status, /while it is in task_state suspending/.test(refused.message)], [409, true], refused.message)
  }
  goOn.resolve()
  await house.yard.settled()
  bus.call = call
  assert.deepEqual(await shown(), ['SUSPENDED', null])
  assert.equal((await say({ resume: null })).status, 202)
  await house.yard.settled()
  assert.deepEqual(await shown(), ['ACTIVE', null])
  await house.remove(id)
})

test('a task that nothing is under way for goes by an operator’s word, and one whose end is not as the server then is goes as well', async () => {
  const { context } = house.yard
  const { db } = context.database
  const { id } = await house.server()
  const say = async (body: object) => (await house.ask('POST', `/servers/${id}/action`, { as: 'admin', body })).status
  await move(db, id, { taskState: 'rebooting' })
  assert.equal(await say({ 'os-resetState': { state: 'active' } }), 202)
  assert.equal(await say({ pause: null }), 202)
  await house.yard.settled()
  await move(db, id, { taskState: 'resize_finish' })
  await move(db, id, { vmState: 'resized', taskState: null })
  const { vm_state, task_state } = (await findInstance(db, id))!
  assert.deepEqual([vm_state, task_state], ['paused', null])
  await house.remove(id)
})

test('what is changed of what was asked for in one moment is all kept: certificates of a rebuild, ports that come and go', async () => {
  const { context } = house.yard
  const { database } = context
  const { id } = await house.server()
  const ports = Array.from({ length: 3 }, (_, i) => ({ portId: `port-${i}`, networkId: null, fixedIp: null, given: true, tag: null }))
  const wish = attachInterface.steps.find((one) => one.name === 'wish')!
  const asked = async () => requestOf((await findInstance(database.db, id))!)
  const before = await asked()
  for (const trustedCertificates of [['one'], ['two'], null]) {
    const runs = ports.map((wanted) => ({ world: context, input: { serverId: id, wanted }, stretch: new Map() }) as any)
    const trust = () => database.transaction((trx) => changeRequest(trx, id, () => ({ trustedCertificates })))
    await Promise.all([...runs.map((run) => wish.action(run)), trust()])
    const { networks, trustedCertificates: trusted } = await asked()
    assert.deepEqual(
      [networks.map((one) => one.portId).sort(), trusted],
      [[...before.networks, ...ports].map((one) => one.portId).sort(), trustedCertificates],
    )
    await Promise.all(runs.map((run) => wish.undo!(run, null)))
    assert.deepEqual((await asked()).networks, before.networks)
  }
  await house.remove(id)
})

test('a server that was evacuated since it was looked at does not leave its new host, which is up', async () => {
  const { context } = house.yard
  const { id } = await house.server()
  const seen = (await findInstance(context.database.db, id))!
  await updateHost(context, seen.host!, { forced_down: 1 })
  const request = { isAdmin: true, requestId: 'req-1' } as RequestContext
  const wanted = { target: null, adminPass: 'secret' }
  await evacuate(context, request, seen, wanted)
  await house.yard.settled()
  const { host } = (await findInstance(context.database.db, id))!
  assert.notEqual(host, seen.host)
  await assert.rejects(evacuate(context, request, seen, wanted), { status: 409, message: /on another host by now/ })
  await house.yard.settled()
  assert.equal((await findInstance(context.database.db, id))!.host, host)
  await updateHost(context, seen.host!, { forced_down: 0 })
  await house.remove(id)
})
