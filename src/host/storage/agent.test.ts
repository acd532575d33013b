import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, test } from 'node:test'
import { simulatedTargets } from '../../drivers/tgt/simulated.ts'
import { simulatedBackend } from '../../drivers/volume-backend/simulated.ts'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { silent } from '../../kernel/log/log.ts'
import { type BackendState, control, storage, VOLUME_CONTROL, volumeTopic, type WantedExport } from '../../volume/rpc.ts'
import { createStorageAgent, type StorageAgentOptions } from './agent.ts'
import { iqnOf } from './exports.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** An agent on twins, with a control side that answers `desired` and keeps the reports. */
async function house(options: Partial<StorageAgentOptions> = {}) {
  const bus = new MemoryBus()
  const reports: BackendState[] = []
  let desired: WantedExport[] = []
  bus.serve(VOLUME_CONTROL, control.backendReport, (state) => void reports.push(state))
  bus.serve(VOLUME_CONTROL, control.desiredExports, () => desired)
  const workDirectory = mkdtempSync(join(tmpdir(), 'yun-storage-'))
  const [backend, targets] = [simulatedBackend({ totalGiB: 10 }), simulatedTargets()]
  const uploaded = new Map<string, string>()
  const images = {
    image: async (id: string) => ({
      id,
      status: uploaded.has(id) ? 'active' : 'queued',
      disk_format: 'raw',
      size: uploaded.get(id)?.length ?? null,
    }),
    upload: async (id: string, data: Readable) => void uploaded.set(id, Buffer.concat(await Array.fromAsync(data)).toString()),
    download: async (id: string) => Readable.from([Buffer.from(uploaded.get(id)!, 'latin1')]),
  } as unknown as StorageAgentOptions['images']
  writeFileSync(join(workDirectory, 'image-left-over'), 'by a killed process')
  const agent = createStorageAgent({
    bus,
    log: silent(),
    host: 'h',
    name: 'lvm',
    pool: 'g',
    backend,
    targets,
    images,
    workDirectory,
    ...options,
  })
  await agent.start()
  closing.push(async () => {
    await agent.stop()
    rmSync(workDirectory, { recursive: true })
  })
  const ask: typeof bus.call = bus.call.bind(bus)
  const topic = volumeTopic(agent.name)
  const settle = async () => {
    await Promise.all(agent.reconcilers.map((one) => one.settle()))
    await new Promise((resolve) => setImmediate(resolve)) // a report is cast, not called
  }
  return {
    bus,
    agent,
    backend,
    targets,
    reports,
    uploaded,
    workDirectory,
    ask,
    topic,
    settle,
    want: (all: WantedExport[]) => (desired = all),
  }
}

const secret = 'a1b2c3d4e5f6g7h8'

test('volumes and snapshots are made, grow and go, each message twice; what is free is reported', async () => {
  const { ask, topic, backend, reports, settle, workDirectory } = await house()
  assert.deepEqual(readdirSync(workDirectory), [])
  const [volumeId, snapshotId, copy, clone] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()]
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await ask(topic, storage.create, { volumeId, sizeGiB: 1 }), { path: backend.path(volumeId) })
    backend.write(volumeId, 0, 'then')
    await ask(topic, storage.createSnapshot, { snapshotId, volumeId, sizeGiB: 1 })
    await ask(topic, storage.extend, { volumeId, sizeGiB: 2 })
    await ask(topic, storage.createFromSnapshot, { volumeId: copy, sizeGiB: 1, snapshotId, sourceVolumeId: volumeId })
    await ask(topic, storage.createFromVolume, { volumeId: clone, sizeGiB: 2, sourceVolumeId: volumeId })
  }
  assert.equal(backend.read(copy, 0, 4), 'then')
  backend.write(volumeId, 0, 'now!')
  await ask(topic, storage.revertToSnapshot, { snapshotId, volumeId, sizeGiB: 2 })
  assert.equal(backend.read(volumeId, 0, 4), 'then')
  await settle()
  const { name, freeGiB, allocatedGiB, totalGiB, protocol } = reports.at(-1)!
  assert.deepEqual([name, freeGiB, allocatedGiB, totalGiB, protocol], ['h@lvm#g', 5, 5, 10, 'iSCSI'])
  await assert.rejects(ask(topic, storage.create, { volumeId: randomUUID(), sizeGiB: 6 }), { status: 507, code: 'NoSpace' })
  for (let i = 0; i < 2; i++) {
    await ask(topic, storage.removeSnapshot, { snapshotId, volumeId })
    for (const id of [copy, clone, volumeId]) await ask(topic, storage.remove, { volumeId: id })
  }
  assert.deepEqual(await ask(topic, storage.audit, {}), [])
  assert.equal((await ask(topic, storage.stats, {})).freeGiB, 10)
})

test('a volume is exported with its secret and can be reached with no other; removed it is exported no more', async () => {
  const { ask, topic, targets, want } = await house()
  const volumeId = randomUUID()
  await ask(topic, storage.create, { volumeId, sizeGiB: 1 })
  const target = await ask(topic, storage.exportVolume, { volumeId, secret, readOnly: false })
  assert.deepEqual(await ask(topic, storage.exportVolume, { volumeId, secret, readOnly: false }), target)
  assert.deepEqual([target.iqn, target.portal], [iqnOf(volumeId), '127.0.0.1:3260'])
  assert.throws(() => targets.login(target.iqn, target.username, 'x'.repeat(16)), /Authentication/)
  targets.login(target.iqn, target.username, secret)
  const kinds = (await ask(topic, storage.audit, {})).map((one) => [one.kind, one.owner])
  assert.deepEqual(kinds, [
    ['volume', volumeId],
    ['iscsi-target', volumeId],
  ])
  assert.ok(!JSON.stringify(target).includes(secret))
  want([{ volumeId, secret, readOnly: false }])
  await ask(topic, storage.unexportVolume, { volumeId })
  assert.equal((await targets.list()).length, 1, 'somebody wants it by now')
  want([])
  await ask(topic, storage.unexportVolume, { volumeId })
  assert.deepEqual(await targets.list(), [])
  await ask(topic, storage.remove, { volumeId })
  assert.deepEqual(await targets.list(), [])
})

test('targets that the daemon forgot are made again, those that nobody wants go, strangers stay', async () => {
  const { ask, topic, targets, want, settle } = await house()
  const [wanted, unwanted] = [randomUUID(), randomUUID()]
  for (const volumeId of [wanted, unwanted]) {
    await ask(topic, storage.create, { volumeId, sizeGiB: 1 })
    await ask(topic, storage.exportVolume, { volumeId, secret, readOnly: false })
  }
  await targets.ensure({ iqn: 'iqn.2001-04.com.example:mine', path: '/dev/sdz', secret, readOnly: false })
  await targets.ensure({ iqn: iqnOf(randomUUID()), path: '/another/back-end', secret, readOnly: false })
  want([{ volumeId: wanted, secret, readOnly: false }])
  await settle()
  const there = async () => (await targets.list()).map((one) => one.iqn)
  assert.equal((await there()).length, 3)
  assert.ok(!(await there()).includes(iqnOf(unwanted)))
  targets.forget()
  await settle()
  assert.deepEqual(await there(), [iqnOf(wanted)])
})

test('a volume is sent to an image, once', async () => {
  const { ask, topic, backend, uploaded, workDirectory } = await house()
  const [volumeId, imageId] = [randomUUID(), randomUUID()]
  await ask(topic, storage.create, { volumeId, sizeGiB: 1 })
  backend.write(volumeId, 0, 'boot sector')
  const what = { volumeId, imageId, diskFormat: 'raw', containerFormat: 'bare' }
  const { bytes } = await ask(topic, storage.uploadToImage, what)
  assert.equal(uploaded.get(imageId)!.slice(0, 11), 'boot sector')
  assert.equal(bytes, uploaded.get(imageId)!.length)
  assert.deepEqual(await ask(topic, storage.uploadToImage, what), { bytes })
  assert.deepEqual(readdirSync(workDirectory), [])
})

test('a volume is made of an image, again and again the same; one that reaches outside of itself is refused', async () => {
  const { ask, topic, backend, uploaded, workDirectory } = await house()
  const [volumeId, imageId, hostile] = [randomUUID(), randomUUID(), randomUUID()]
  uploaded.set(imageId, 'boot sector'.padEnd(512, '\0'))
  uploaded.set(hostile, 'QFI\xfb'.padEnd(512, '\0'))
  for (let i = 0; i < 2; i++) {
    const { bytes, path } = await ask(topic, storage.createFromImage, { volumeId, sizeGiB: 1, imageId })
    assert.deepEqual([bytes, path, backend.read(volumeId, 0, 11)], [512, backend.path(volumeId), 'boot sector'])
    backend.write(volumeId, 0, 'half filled')
  }
  const refused = randomUUID()
  await assert.rejects(
    ask(topic, storage.createFromImage, { volumeId: refused, sizeGiB: 1, imageId: hostile }),
    (error: any) => error.status < 500,
  )
  assert.deepEqual(
    (await backend.list()).map((one) => one.id),
    [volumeId],
  )
  assert.deepEqual(readdirSync(workDirectory), [])
})

test('another image is put over a volume, again and again the same; one that is refused leaves it as it is', async () => {
  const { ask, topic, backend, uploaded, workDirectory, targets } = await house()
  const [volumeId, imageId, hostile] = [randomUUID(), randomUUID(), randomUUID()]
  uploaded.set(imageId, 'other system'.padEnd(512, '\0'))
  uploaded.set(hostile, 'QFI\xfb'.padEnd(512, '\0'))
  await ask(topic, storage.create, { volumeId, sizeGiB: 1 })
  await ask(topic, storage.exportVolume, { volumeId, secret, readOnly: false })
  backend.write(volumeId, 0, 'boot sector')
  await assert.rejects(ask(topic, storage.fetchImage, { volumeId, sizeGiB: 1, imageId: hostile }), (error: any) => error.status < 500)
  assert.deepEqual([readdirSync(workDirectory), backend.read(volumeId, 0, 11)], [[], 'boot sector'])
  const what = { volumeId, sizeGiB: 1, imageId }
  for (const fetched of [true, false, true]) {
    if (fetched) assert.deepEqual(await ask(topic, storage.fetchImage, what), { bytes: 512 })
    assert.equal(readdirSync(workDirectory).length, fetched ? 1 : 0)
    assert.deepEqual(await ask(topic, storage.reimage, what), { bytes: 512 })
    assert.equal(backend.read(volumeId, 0, 12), 'other system')
    backend.write(volumeId, 0, 'half filled!')
  }
  assert.deepEqual([readdirSync(workDirectory), await targets.list()], [[], []], 'nobody reaches it meanwhile')
  await ask(topic, storage.fetchImage, what)
  for (let i = 0; i < 2; i++) await ask(topic, storage.dropImage, { volumeId })
  assert.deepEqual(readdirSync(workDirectory), [])
})

test('an image that is not active makes no volume, and nothing is left of it', async () => {
  const { ask, topic, backend, workDirectory } = await house()
  const payload = { volumeId: randomUUID(), sizeGiB: 1, imageId: randomUUID() }
  await assert.rejects(ask(topic, storage.createFromImage, payload), { status: 409, code: 'ImageNotActive' })
  assert.deepEqual(await backend.list(), [])
  assert.deepEqual(readdirSync(workDirectory), [])
})

test('a stopped agent answers no more', async () => {
  const { agent, ask, topic } = await house()
  await agent.stop()
  await assert.rejects(ask(topic, storage.stats, {}), { code: 'NoReceiver' })
})
