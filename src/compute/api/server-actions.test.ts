import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { RequestContext } from '../../kernel/http/context.ts'
import { deleteServer } from '../app/server.ts'
import { findInstance } from '../db/instances.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
let id: string
before(async () => {
  house = await House.open()
  id = (await house.server({ adminPass: 'never-to-be-seen', config_drive: true })).id
})
after(() => house.stop())
const act = (body: object, as: 'member' | 'admin' = 'member', at = '2.73') => house.ask('POST', `/servers/${id}/action`, { body, as, at })

describe('actions', () => {
  test('in a state that forbids them: 409 that names the state', async () => {
    for (const [body, action] of [
      [{ 'os-start': null }, 'start'],
      [{ unpause: null }, 'unpause'],
      [{ resume: null }, 'resume'],
      [{ unrescue: null }, 'unrescue'],
      [{ confirmResize: null }, 'confirmResize'],
      [{ revertResize: null }, 'revertResize'],
    ] as const) {
      const { status, body: answer } = await act(body)
      assert.equal(status, 409, action)
      assert.equal(answer.conflictingRequest.message, `Cannot '${action}' instance ${id} while it is in vm_state active`)
    }
  })

  test('one at a time: the second is told of the first', async () => {
    const [first, second] = await Promise.all([act({ pause: null }), act({ suspend: null })])
    assert.deepEqual([first.status, second.status].sort(), [202, 409])
    const refused = [first, second].find((one) => one.status === 409)!
    assert.match(refused.message, /while it is in (task_state (pausing|suspending)|vm_state (paused|suspended))$/)
    const now = await house.rested(id)
    assert.equal((await act(now.status === 'PAUSED' ? { unpause: null } : { resume: null })).status, 202)
    assert.equal((await house.rested(id)).status, 'ACTIVE')
  })

  test('a server in error is rescued, and is its owner’s again', async () => {
    const { id: other } = await house.server()
    const say = (body: object) => house.ask('POST', `/servers/${other}/action`, { body, as: 'admin', at: '2.73' })
    assert.equal((await say({ 'os-resetState': { state: 'error' } })).status, 202)
    for (const [body, status, answer] of [
      [{ rescue: null }, 'RESCUE', 200],
      [{ unrescue: null }, 'ACTIVE', 202],
    ] as const) {
      assert.equal((await say(body)).status, answer)
      await house.yard.settled()
      const { server } = (await house.ask('GET', `/servers/${other}`)).body
      assert.deepEqual([server.status, server['OS-EXT-STS:task_state']], [status, null])
    }
    await house.remove(other)
  })

  test('a server is deleted by whoever asks, at once with others and with what begins meanwhile', async () => {
    for (const meanwhile of [{ 'os-stop': null }, { resize: { flavorRef: house.yard.largeFlavorId } }, null]) {
      const { id: other } = await house.server()
      const context = house.yard.context
      const seen = (await findInstance(context.database.db, other))!
      if (meanwhile) assert.equal((await house.ask('POST', `/servers/${other}/action`, { body: meanwhile })).status, 202)
      const deleted = () => deleteServer(context, { isAdmin: true, requestId: 'req-1' } as RequestContext, seen)
      await Promise.all([deleted(), deleted()])
      await house.yard.settled()
      assert.equal((await findInstance(context.database.db, other))!.vm_state, 'deleted')
      assert.deepEqual(await house.yard.leaks(), [])
      await assert.rejects(deleted(), { status: 404 })
    }
  })

  test('that there are not, or with the wrong words: 400', async () => {
    for (const body of [
      {},
      { dance: null },
      { reboot: null },
      { reboot: { type: 'SLOW' } },
      { rebuild: {} },
      { createImage: { name: '' } },
    ])
      assert.equal((await act(body)).status, 400, JSON.stringify(body))
    assert.equal((await act({ resize: { flavorRef: 'giant' } })).status, 400)
    assert.match((await act({ resize: { flavorRef: house.yard.flavorId } })).message, /must change flavor/)
    assert.equal((await act({ lock: { locked_reason: 7 } })).status, 400)
    assert.equal((await act({ rebuild: { imageRef: house.yard.imageId, personality: 5 } })).status, 400)
    assert.equal((await act({ rebuild: { imageRef: id } })).status, 400)
  })

  test('of operators are closed to members', async () => {
    assert.equal((await act({ 'os-resetState': { state: 'error' } })).status, 403)
    assert.equal((await act({ 'os-resetState': { state: 'error' } }, 'admin')).status, 202)
    assert.equal((await act({ 'os-start': null })).status, 409)
    assert.equal((await act({ 'os-resetState': { state: 'active' } }, 'admin')).status, 202)
    assert.equal((await act({ migrate: null })).status, 403)
    assert.equal((await act({ 'os-migrateLive': { host: null, block_migration: true, disk_over_commit: false } })).status, 403)
  })

  test('a server that is being deleted is deleted, whatever an operator says of it', async () => {
    const one = await house.server()
    assert.equal((await house.ask('DELETE', `/servers/${one.id}`)).status, 204)
    const reset = { 'os-resetState': { state: 'active' } }
    const refused = await house.ask('POST', `/servers/${one.id}/action`, { as: 'admin', body: reset })
    assert.deepEqual([refused.status, /task_state deleting/.test(refused.message)], [409, true], refused.message)
    await house.yard.settled()
    assert.equal((await house.ask('GET', `/servers/${one.id}`)).status, 404)
  })

  test('where no host has the guest: 409, and it can be deleted', async () => {
    const one = await house.server()
    const on = (path: string, body: object, as: 'admin' | 'member' = 'member') =>
      house.ask('POST', `/servers/${one.id}/${path}`, { as, body })
    assert.equal((await on('action', { shelve: null })).status, 202)
    const shelved = () => house.rested(one.id)
    assert.equal((await eventually(shelved, ({ status }) => status === 'SHELVED_OFFLOADED')).status, 'SHELVED_OFFLOADED')
    assert.equal((await on('action', { 'os-resetState': { state: 'active' } }, 'admin')).status, 202)
    for (const [path, body] of [
      ['os-interface', {}],
      ['action', { reboot: { type: 'HARD' } }],
      ['action', { 'os-stop': null }],
      ['action', { createImage: { name: 'picture' } }],
      ['action', { 'os-getConsoleOutput': {} }],
      ['remote-consoles', { remote_console: { protocol: 'vnc', type: 'novnc' } }],
    ] as const) {
      const refused = await house.ask('POST', `/servers/${one.id}/${path}`, { at: '2.79', body })
      assert.deepEqual([refused.status, refused.message], [409, `Instance ${one.id} is not ready`], JSON.stringify(body))
    }
    await house.remove(one.id)
  })

  test('that take its last security group: it is shown without any, and takes one again', async () => {
    const groups = async () => (await house.ask('GET', `/servers/${id}`)).body.server.security_groups
    assert.deepEqual(await groups(), [{ name: 'default' }])
    assert.equal((await act({ removeSecurityGroup: { name: 'default' } })).status, 202)
    assert.equal(await groups(), undefined)
    assert.equal((await act({ removeSecurityGroup: { name: 'default' } })).status, 404)
    assert.equal((await act({ addSecurityGroup: { name: 'default' } })).status, 202)
    assert.deepEqual(await groups(), [{ name: 'default' }])
  })

  test('on a locked server: administrators alone', async () => {
    assert.equal((await act({ lock: { locked_reason: 'in use' } })).status, 202)
    const { server } = (await house.ask('GET', `/servers/${id}`, { at: '2.73' })).body
    assert.deepEqual([server.locked, server.locked_reason], [true, 'in use'])
    const refused = await act({ 'os-stop': null })
    assert.deepEqual([refused.status, refused.message], [409, `Instance ${id} is locked`])
    assert.equal((await house.ask('DELETE', `/servers/${id}`)).status, 409)
    assert.equal((await act({ reboot: { type: 'HARD' } }, 'admin')).status, 202)
    await house.rested(id)
    assert.equal((await act({ unlock: null })).status, 202)
    assert.equal((await act({ 'os-stop': null })).status, 202)
    assert.equal((await house.rested(id)).status, 'SHUTOFF')
    assert.equal((await act({ 'os-start': null })).status, 202)
    assert.equal((await house.rested(id)).status, 'ACTIVE')
  })

  test('are listed with their steps; a foreign request id is not found', async () => {
    const { instanceActions } = (await house.ask('GET', `/servers/${id}/os-instance-actions`, { at: '2.58' })).body
    const names = instanceActions.map((one: any) => one.action)
    for (const name of ['create', 'stop', 'start', 'reboot']) assert.ok(names.includes(name), name)
    const create = instanceActions.find((one: any) => one.action === 'create')
    assert.ok(create.updated_at)
    const { instanceAction } = (await house.ask('GET', `/servers/${id}/os-instance-actions/${create.request_id}`, { at: '2.84' })).body
    assert.ok(instanceAction.events.length > 20)
    assert.ok(instanceAction.events.every((one: any) => one.result === 'Success' && !('traceback' in one)))
    assert.equal((await house.ask('GET', `/servers/${id}/os-instance-actions/req-0`)).status, 404)
  })

  test('the trace tells all fifty steps', async () => {
    const { trace } = (await house.ask('GET', `/servers/${id}/trace`)).body
    assert.equal(trace.steps.length, 50)
    const seven = trace.steps.find((one: any) => one.step === 7)
    assert.deepEqual([seven.name, seven.status], ['instance-row', 'done'])
    assert.doesNotMatch(JSON.stringify(trace), /never-to-be-seen/)
  })

  test('a snapshot names its image; a second one at the same time leaves none behind', async () => {
    const made = await act({ createImage: { name: 'snap', metadata: { kept: 'yes' } } })
    assert.equal(made.status, 202)
    const second = await act({ createImage: { name: 'late' } })
    await house.rested(id)
    const { images } = await house.yard.cloud.api('GET', '/image/v2/images')
    const named = (name: string) => images.filter((one: any) => one.name === name)
    assert.equal(named('late').length, second.status === 409 ? 0 : 1)
    const image = await house.yard.cloud.api('GET', `/image/v2/images/${made.body.image_id}`)
    assert.deepEqual([image.status, image.instance_uuid, image.kept], ['active', id, 'yes'])
  })
})

describe('events from other services', () => {
  const send = (events: unknown[], as: 'admin' | 'member' = 'admin') =>
    house.ask('POST', '/os-server-external-events', { body: { events }, as })
  const event = { name: 'network-changed', server_uuid: '' }

  test('are answered one by one', async () => {
    const known = { ...event, server_uuid: id }
    const unknown = { ...event, server_uuid: house.yard.imageId }
    assert.equal((await send([known])).status, 200)
    const mixed = await send([known, unknown])
    assert.equal(mixed.status, 207)
    assert.deepEqual(
      mixed.body.events.map((one: any) => one.code),
      [200, 404],
    )
    assert.equal((await send([unknown])).status, 404)
    assert.equal((await send([{ ...known, name: 'network-vif-plugged' }])).status, 400)
    for (const wrong of [[], [{ ...known, name: 'party' }], [{ name: 'network-changed' }]]) assert.equal((await send(wrong)).status, 400)
    assert.equal((await send([known], 'member')).status, 403)
  })
})

describe('ports and volumes', () => {
  test('a port that is older than the server is what attaching it answers; that it is gone is an event of its name', async () => {
    const [own] = (await house.ask('GET', `/servers/${id}/os-interface`)).body.interfaceAttachments
    const made = await house.request('POST', '/network/v2.0/ports', { body: { port: { network_id: own.net_id } } })
    const { port } = made.body
    const { id: younger } = await house.server()
    const attached = await house.ask('POST', `/servers/${younger}/os-interface`, { body: { interfaceAttachment: { port_id: port.id } } })
    assert.equal(attached.body.interfaceAttachment.port_id, port.id)
    const gone = await house.ask('DELETE', `/servers/${younger}/os-interface/${port.id}`)
    assert.equal(gone.status, 202)
    await house.rested(younger)
    const path = `/servers/${younger}/os-instance-actions/${gone.headers['x-openstack-request-id']}`
    const { events } = (await house.ask('GET', path)).body.instanceAction
    assert.deepEqual([events.at(-1).event, events.at(-1).result], ['compute_detach_interface', 'Success'])
    await house.remove(younger)
  })

  test('not while something else has the server: it may be elsewhere afterwards', async () => {
    const one = await house.server()
    const on = (path: string, body: object) => house.ask('POST', `/servers/${one.id}/${path}`, { body })
    assert.equal((await on('action', { shelve: null })).status, 202)
    for (const [path, body] of [
      ['os-interface', {}],
      ['os-volume_attachments', { volumeAttachment: { volumeId: house.yard.imageId } }],
    ] as const) {
      const refused = await on(path, body)
      assert.equal(refused.status, 409, refused.message)
      assert.match(refused.message, /while it is in task_state shelving/)
    }
    await house.remove(one.id)
  })

  test('that there are not, or that are taken', async () => {
    const port = (body: object) => house.ask('POST', `/servers/${id}/os-interface`, { body: { interfaceAttachment: body } })
    assert.equal((await port({ port_id: house.yard.imageId })).status, 400)
    assert.equal((await port({ net_id: house.yard.imageId })).status, 400)
    assert.equal((await port({ net_id: id, port_id: id })).status, 400)
    assert.equal((await port({ fixed_ips: [{ ip_address: '10.7.0.9' }] })).status, 400)
    const volume = (body: object) => house.ask('POST', `/servers/${id}/os-volume_attachments`, { body: { volumeAttachment: body } })
    assert.equal((await volume({ volumeId: house.yard.imageId })).status, 404)
    assert.equal((await volume({ volumeId: 'x' })).status, 400)
    assert.equal((await house.ask('GET', `/servers/${id}/os-volume_attachments/${id}`)).status, 404)
    assert.equal((await house.ask('DELETE', `/servers/${id}/os-interface/${id}`)).status, 404)
    assert.equal((await house.ask('GET', `/servers/${id}/ips/nowhere`)).status, 404)
    assert.equal((await house.ask('GET', `/servers/${id}/ips/private`)).body.private[0].version, 4)
  })
})
