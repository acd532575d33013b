import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { silent } from '../../kernel/log/log.ts'
import { SagaEngine } from '../../kernel/saga/engine.ts'
import { type SagaWorld, sagaTests } from '../../kernel/saga/testing.ts'
import { blockDevicesOf, findInstance } from '../db/instances.ts'
import { computeTopic, host } from '../rpc.ts'
import { deleteServer } from './delete-server.ts'
import { type SwapInput, swapVolume } from './swap-volume.ts'
import { eventually, worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open()
})
after(() => yard.cloud.stop())

async function swapIn(at: Yard, id: string): Promise<SwapInput> {
  const [volumeId, newVolumeId] = [await at.volume(), await at.volume()]
  const { api } = at.cloud
  const volumeAttachment = { volumeId, delete_on_termination: true, tag: 'data' }
  await api('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment }, { 'openstack-api-version': 'compute 2.79' })
  await at.settled()
  const [device] = await blockDevicesOf(at.context.database.db, [id])
  return { attachmentId: device!.id, volumeId, newAttachmentId: randomUUID(), newVolumeId, newSizeGiB: 1 }
}

/** Where everything is that a swap moves: the row, the guest's disk, the passwords, the volumes. */
async function placeOf(id: string, { volumeId, newVolumeId }: SwapInput) {
  const { database, bus } = yard.context
  const [device, ...more] = await blockDevicesOf(database.db, [id])
  const topic = computeTopic((await findInstance(database.db, id))!.host!)
  const disk = find(parseXml((await bus.call(topic, host.domainXml, { uuid: id })).xml), 'devices', 'disk').find(
    (one) => first(one, 'target')?.attributes.dev === 'vdb',
  )
  const secrets = (await bus.call(topic, host.audit, {})).filter(({ kind, owner }) => kind === 'secret' && owner === id)
  const status = async (volume: string) => (await yard.cloud.api('GET', `/volume/v3/volumes/${volume}`)).volume.status
  return {
    row: [device!.volume_id, device!.id, device!.device, device!.tag, device!.delete_on_termination, more.length],
    source: first(disk!, 'source')?.attributes.name?.split('volume-')[1],
    attachment: first(disk!, 'auth', 'secret')?.attributes.uuid,
    copied: first(disk!, 'mirror') !== undefined,
    secrets: secrets.map(({ name }) => name.split('-volume-')[1]),
    volumes: [await status(volumeId), await status(newVolumeId)],
  }
}
const wholly = (volume: string, attachment: string, volumes: string[]) => ({
  row: [volume, attachment, '/dev/vdb', 'data', 1, 0],
  source: `${volume}/1`,
  attachment,
  copied: false,
  secrets: [volume],
  volumes,
})
const asBefore = ({ volumeId, attachmentId }: SwapInput) => wholly(volumeId, attachmentId, ['in-use', 'available'])
const asAfter = ({ newVolumeId, newAttachmentId }: SwapInput) => wholly(newVolumeId, newAttachmentId, ['available', 'in-use'])

const differs = async (id: string, input: SwapInput, wanted: (input: SwapInput) => object): Promise<string[]> => {
  try {
    assert.deepEqual(await placeOf(id, input), wanted(input))
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}

async function world(): Promise<SagaWorld> {
  let [server, swap] = ['', {} as SwapInput]
  const input = async (at: Yard, id: string) => {
    ;[server, swap] = [id, await swapIn(at, id)]
    return { ...swap }
  }
  const made = await worldOf(() => yard, { kind: 'swap-volume', status: 'ACTIVE', input })()
  return {
    ...made,
    leftovers: async () => [...(await made.leftovers()), ...(await differs(server, swap, asBefore))],
    arrived: async () => [...(await made.arrived!()), ...(await differs(server, swap, asAfter))],
  }
}

sagaTests({ saga: swapVolume, service: 'compute', world })

/** An engine whose hosts say of a copy what `copied` says. */
async function engineWhere(copied: () => Promise<{ ready: boolean }>) {
  const { context } = yard
  const bus = Object.create(context.bus, {
    call: {
      value: (topic: string, message: { name: string }, ...more: [any, any]) =>
        message.name === host.copyVolume.name && more[0].begun ? copied() : context.bus.call(topic, message, ...more),
    },
  })
  const engine = new SagaEngine({
    service: 'compute',
    database: context.database,
    world: { ...context, bus },
    sagas: [swapVolume, deleteServer],
    log: silent(),
    exclusive: true,
    undoRetryMs: 5,
  })
  await engine.start()
  const submit = async (kind: string, id: string, input: object, more: { interruptOthers?: string } = {}) => {
    const subject = `server:${id}`
    const saga = await context.database.transaction((trx) =>
      engine.submit(trx, { kind, subject, input: { serverId: id, ...input }, ...more }),
    )
    engine.wake(subject)
    return saga
  }
  return { engine, submit }
}

test('a server that is deleted while its volume is copied keeps nobody waiting', async () => {
  const id = await yard.server()
  const input = await swapIn(yard, id)
  let looks = 0
  const { engine, submit } = await engineWhere(async () => {
    looks++
    return { ready: false }
  })
  const swap = await submit('swap-volume', id, input)
  await eventually(
    async () => looks,
    (now) => now > 2,
  )
  assert.deepEqual((await placeOf(id, input)).volumes, ['detaching', 'attaching'])
  const deletion = await submit('delete-server', id, {}, { interruptOthers: 'it is deleted' })
  assert.equal((await engine.finished(swap)).state, 'failed')
  assert.equal((await engine.finished(deletion)).state, 'done')
  await engine.stop()
  const { volumes } = await yard.cloud.api('GET', '/volume/v3/volumes/detail')
  const status = (volume: string) => volumes.find((one: { id: string }) => one.id === volume)?.status ?? 'gone'
  const old = await eventually(
    async () => (await yard.cloud.api('GET', `/volume/v3/volumes/${input.volumeId}`).catch(() => null)) === null,
    Boolean,
  )
  assert.deepEqual([status(input.newVolumeId), old, await yard.leaks()], ['available', true, []])
})

test('a volume that is asked for meanwhile comes after it', async () => {
  const id = await yard.server()
  const { volumeId, newVolumeId } = await swapIn(yard, id)
  const more = await yard.volume()
  const path = `/compute/v2.1/servers/${id}/os-volume_attachments`
  await yard.cloud.api('PUT', `${path}/${volumeId}`, { volumeAttachment: { volumeId: newVolumeId } })
  await yard.cloud.api('POST', path, { volumeAttachment: { volumeId: more } })
  await yard.settled()
  const { volumeAttachments } = await yard.cloud.api('GET', path)
  assert.deepEqual(volumeAttachments.map((one: { volumeId: string }) => one.volumeId).sort(), [newVolumeId, more].sort())
  await yard.remove(id)
})

test('a copy that breaks off leaves the guest with what it had, and says why', async () => {
  const id = await yard.server()
  const input = await swapIn(yard, id)
  const broken = new Fault(500, 'CopyBroken', 'one of them failed')
  const { engine, submit } = await engineWhere(() => Promise.reject(broken))
  const { state, error } = await engine.finished(await submit('swap-volume', id, input))
  await engine.stop()
  assert.deepEqual([state, error?.code], ['failed', 'CopyBroken'])
  assert.deepEqual(await placeOf(id, input), asBefore(input))
  await yard.remove(id)
})
