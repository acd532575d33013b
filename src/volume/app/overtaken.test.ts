import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'
import { completeAttachment, insertAttachment, seeAttachment } from './attachment.ts'
import { connectAttachment } from './connection.ts'
import type { Viewer, VolumeContext } from './context.ts'
import { attach, initializeConnection } from './legacy-attach.ts'
import { extendVolume, revertVolume, uploadVolume } from './operations.ts'
import { associate, changeQos, createQos, deleteQos, disassociate, seeQos } from './qos.ts'
import { reimageVolume } from './reimage.ts'
import { retypeVolume } from './retype.ts'
import { createSnapshot, deleteSnapshot, seeSnapshot, tellSnapshotStatus } from './snapshot.ts'
import { offerVolume } from './transfer.ts'
import { createType, deleteType, seeType } from './type.ts'
import { createVolume, deleteVolume, seeVolume } from './volume.ts'

/** Requests that looked at something, and are overtaken by another before they act. */
let house: VolumeHouse
let context: VolumeContext
const member: Viewer = { projectId: DEMO, userId: 'u', isAdmin: false, mayName: false, token: null, requestId: 'req-1' }
const seen = (id: string) => seeVolume(context, member, id)
const plain = { name: '', description: null, metadata: {}, force: true }

/** For who is overtaken when it has looked and its transaction is to begin. */
function overtakenBy(other: () => Promise<unknown>): VolumeContext {
  let first = true
  const transaction: VolumeContext['database']['transaction'] = async (work) => {
    if (first) {
      first = false
      await other()
    }
    return await context.database.transaction(work)
  }
  return { ...context, database: { ...context.database, transaction } }
}

async function act(id: string, body: object, as = 'admin'): Promise<void> {
  const { status, body: answer } = await house.request('POST', `/volumes/${id}/action`, { as, body })
  assert.ok(status < 300, JSON.stringify(answer))
  await house.idle()
}
const grow = (id: string, new_size: number) => act(id, { 'os-extend': { new_size } })
const typeNamed = (name: string, extraSpecs = {}) => createType(context, { name, extraSpecs })
const snapshotOf = async (id: string) => {
  const { body } = await house.request('POST', '/snapshots', { as: 'member', body: { snapshot: { volume_id: id } } })
  await house.idle()
  return await seeSnapshot(context, member, body.snapshot.id)
}
const give = async (id: string) => {
  const { body } = await house.request('POST', '/volume-transfers', { as: 'member', body: { transfer: { volume_id: id } } })
  const accept = { auth_key: body.transfer.auth_key }
  const { status } = await house.request('POST', `/volume-transfers/${body.transfer.id}/accept`, { as: 'other', body: { accept } })
  assert.equal(status, 202)
}
const rowOf = (id: string) => context.database.db.selectFrom('volumes').selectAll().where('id', '=', id).executeTakeFirstOrThrow()

eachDatabaseUrl((fresh) => {
  before(async () => {
    house = await volumeHouse({ databaseUrl: await fresh() })
    context = house.service.context
    for (const project of [DEMO, OTHER])
      await house.request('PUT', `/os-quota-sets/${project}`, { body: { quota_set: { volumes: -1, snapshots: -1, gigabytes: -1 } } })
  })
  after(() => house.close())

  test('a volume that has grown meanwhile does not grow to less, nor shrink', async () => {
    const { id } = await house.volume()
    const volume = await seen(id)
    await assert.rejects(
      extendVolume(
        overtakenBy(() => grow(id, 5)),
        member,
        volume,
        { sizeGiB: 3, attached: false },
      ),
      { status: 400, message: /current: 5, extended: 3/ },
    )
    await extendVolume(context, member, volume, { sizeGiB: 6, attached: false })
    await house.idle()
    assert.deepEqual([(await rowOf(id)).size, (await rowOf(id)).reserved_size, house.storage.volumes.get(id)!.sizeGiB], [6, 6, 6])
  })

  test('a snapshot and an image are as large as the volume has grown meanwhile, and it is not reverted to what is smaller', async () => {
    const { id } = await house.volume()
    const old = await snapshotOf(id)
    await assert.rejects(
      revertVolume(
        overtakenBy(() => grow(id, 2)),
        member,
        await seen(id),
        old.id,
      ),
      { status: 400, message: /has grown/ },
    )
    const made = await createSnapshot(
      overtakenBy(() => grow(id, 3)),
      member,
      await seen(id),
      plain,
    )
    assert.equal(made.size, 3)
    await house.idle()
    const how = { imageName: 'i', diskFormat: 'raw', containerFormat: 'bare', visibility: 'private', protected: false, force: false }
    const { imageId } = await uploadVolume(
      overtakenBy(() => grow(id, 4)),
      member,
      await seen(id),
      how,
    )
    await house.idle()
    assert.equal(house.images.images.get(imageId)!.min_disk, 4)
  })

  test('who has given a volume away meanwhile can do nothing with it', async () => {
    const deeds: ((id: string, context: VolumeContext) => Promise<unknown>)[] = [
      async (id, context) => createSnapshot(context, member, await seen(id), plain),
      async (id, context) => extendVolume(context, member, await seen(id), { sizeGiB: 2, attached: false }),
      async (id, context) => insertAttachment(context, await seen(id), {}),
      async (id, context) => deleteVolume(context, member, await seen(id)),
      async (id, context) => offerVolume(context, await seen(id), { name: null, noSnapshots: false }),
      async (id, context) => deleteSnapshot(context, member, await snapshotOf(id)),
      async (id, context) => retypeVolume(context, member, await seen(id), (await typeNamed(randomUUID())).id),
    ]
    for (const deed of deeds) {
      const { id } = await house.volume()
      await assert.rejects(
        deed(
          id,
          overtakenBy(() => give(id)),
        ),
        { status: 404 },
        String(deed),
      )
      const row = await rowOf(id)
      assert.deepEqual([row.project_id, row.status, row.size], [OTHER, 'available', 1])
    }
  })

  test('a volume that is for one server meanwhile is attached once', async () => {
    const [shared, single] = [await typeNamed('shared', { multiattach: '<is> True' }), await typeNamed('single')]
    const { id } = await house.volume({ volume_type: shared.id })
    const before = await seen(id)
    await act(id, { 'os-retype': { new_type: single.id } })
    await insertAttachment(context, before, { instance_id: randomUUID() })
    await assert.rejects(insertAttachment(context, before, { instance_id: randomUUID() }), { status: 400 })
  })

  test('a volume that several servers have meanwhile does not become one for one server', async () => {
    const [first, second] = [await typeNamed('first'), await typeNamed('second')]
    const { id } = await house.volume({ volume_type: first.id })
    const take = async () => completeAttachment(context, await insertAttachment(context, await seen(id), { instance_id: randomUUID() }))
    await take()
    const share = async () => {
      await act(id, { 'os-force_detach': {} })
      await act(id, { 'os-retype': { new_type: 'shared' } })
      await take()
      await take()
    }
    await assert.rejects(retypeVolume(overtakenBy(share), member, await seen(id), second.id), { status: 400 })
    assert.equal((await seen(id)).multiattach, 1)
  })

  test('of two who attach a reserved volume one has it', async () => {
    const { id } = await house.volume()
    await act(id, { 'os-reserve': null })
    const to = (instanceId: string) => ({ instanceId, host: null, mountpoint: null, mode: 'rw' })
    const [first, second] = [randomUUID(), randomUUID()]
    const faster = overtakenBy(async () => attach(context, await seen(id), to(first)))
    await assert.rejects(attach(faster, await seen(id), to(second)), { status: 400, message: new RegExp(first) })
    assert.deepEqual(
      (await seen(id)).attachments.map((one) => one.instance_id),
      [first],
    )
  })

  test('an available volume by decree is not attached beside who has it', async () => {
    const { id } = await house.volume()
    const row = await insertAttachment(context, await seen(id), { instance_id: randomUUID() })
    await act(id, { 'os-reset_status': { status: 'available' } })
    const again = async () => insertAttachment(context, await seen(id), { instance_id: randomUUID() })
    await assert.rejects(again(), { status: 400, message: new RegExp(`still attached by attachment ${row.id}`) })
    await insertAttachment(context, await seen(id), { instance_id: row.instance_id })
    await act(id, { 'os-reset_status': { status: 'available', attach_status: 'detached' } })
    assert.equal((await again()).status, 'reserved')
  })

  test('a volume that is being deleted is attached to nothing, whatever an administrator says of it', async () => {
    const { id } = await house.volume()
    const removing = house.storage.hold('remove')
    await deleteVolume(context, member, await seen(id))
    await removing.come
    const reset = { 'os-reset_status': { status: 'available' } }
    assert.equal((await house.request('POST', `/volumes/${id}/action`, { body: reset })).status, 202)
    const going = { status: 400, message: /is being deleted/ }
    await assert.rejects(insertAttachment(context, await seen(id), { instance_id: randomUUID() }), going)
    await assert.rejects(initializeConnection(context, await seen(id), { host: 'node-1' }), going)
    removing.goOn()
    await house.idle()
    assert.equal((await house.request('GET', `/volumes/${id}`)).status, 404)
  })

  test('what is deleted meanwhile is not copied, what is being copied is not deleted', async () => {
    const { id } = await house.volume()
    const wish = {
      projectId: DEMO,
      userId: 'u',
      sizeGiB: null,
      type: null,
      zone: null,
      imageId: null,
      snapshotId: null,
      sourceVolumeId: null,
      multiattach: false,
      ...plain,
    }
    const begin = (more: object, by: () => Promise<unknown>) => createVolume(overtakenBy(by), member, { ...wish, ...more })
    const snapshot = await snapshotOf(id)
    const copying = house.storage.hold('createFromSnapshot')
    const copy = () => house.request('POST', '/volumes', { as: 'member', body: { volume: { snapshot_id: snapshot.id } } })
    await assert.rejects(deleteSnapshot(overtakenBy(copy), member, snapshot), { status: 400, message: /is being made from it/ })
    await assert.rejects(deleteVolume(context, member, await seen(id), { cascade: true }), {
      status: 400,
      message: /being copied to volume/,
    })
    copying.goOn()
    await house.idle()
    await assert.rejects(
      begin({ snapshotId: snapshot.id }, () => deleteSnapshot(context, member, snapshot)),
      { status: 400 },
    )
    await house.idle()
    const cloning = house.storage.hold('createFromVolume')
    const clone = () => house.request('POST', '/volumes', { as: 'member', body: { volume: { source_volid: id } } })
    await assert.rejects(deleteVolume(overtakenBy(clone), member, await seen(id)), { status: 400, message: /being copied to volume/ })
    cloning.goOn()
    await house.idle()
    await assert.rejects(
      begin({ sourceVolumeId: id }, () => grow(id, 2)),
      { status: 400, message: /smaller than the source volume size 2GB/ },
    )
    await assert.rejects(
      begin({ sourceVolumeId: id }, async () => deleteVolume(context, member, await seen(id))),
      { status: 400 },
    )
    await house.idle()
  })

  test('a copy that is being made by decree alone keeps neither its volume nor its snapshot', async () => {
    const { id } = await house.volume()
    const snapshot = await snapshotOf(id)
    for (const source of [{ source_volid: id }, { snapshot_id: snapshot.id }]) {
      const copy = await house.volume(source)
      await act(copy.id, { 'os-reset_status': { status: 'creating' } })
    }
    await deleteSnapshot(context, member, snapshot)
    await house.idle()
    await deleteVolume(context, member, await seen(id))
    await house.idle()
    assert.equal((await house.request('GET', `/volumes/${id}`)).status, 404)
  })

  test('a volume is not exported while another image is written over it, nor overwritten when a second server has it meanwhile', async () => {
    const imageId = house.images.add()
    const { id } = await house.volume({
      volume_type: (await seeType(context, member, (await typeNamed('both', { multiattach: '<is> True' })).id)).id,
    })
    const row = await insertAttachment(context, await seen(id), { instance_id: randomUUID() })
    const overwrite = async (of: VolumeContext) => reimageVolume(of, member, await seen(id), { imageId, reservedToo: true })
    const fetching = house.storage.hold('fetchImage')
    await assert.rejects(
      connectAttachment(
        overtakenBy(() => overwrite(context)),
        row.id,
        { host: 'h' },
      ),
      { status: 400, message: /being overwritten/ },
    )
    assert.equal((await seeAttachment(context, member, row.id)).status, 'reserved')
    fetching.goOn()
    await house.idle()
    const second = async () => insertAttachment(context, await seen(id), { instance_id: randomUUID() })
    await assert.rejects(overwrite(overtakenBy(second)), { status: 409 })
    assert.equal((await rowOf(id)).status, 'reserved')
  })

  test('QoS specs and types that have gone meanwhile, or have others', async () => {
    const type = await typeNamed('slow')
    const gone = await createQos(context, 'gone', 'both', {})
    await deleteQos(context, gone, false)
    await assert.rejects(associate(context, gone, type), { status: 404 })
    await assert.rejects(changeQos(context, gone, 'both', { a: '1' }), { status: 404 })
    const { db } = context.database
    assert.deepEqual(await db.selectFrom('properties').selectAll().where('owner_id', '=', gone.id).execute(), [])
    const [one, other] = [await createQos(context, 'one', 'both', {}), await createQos(context, 'other', 'both', {})]
    await associate(context, one, type)
    const withOne = await seeType(context, member, type.id)
    await assert.rejects(associate(context, other, type), { status: 400 })
    await disassociate(context, one, withOne)
    await associate(context, other, type)
    await disassociate(context, one, withOne)
    assert.equal((await seeType(context, member, type.id)).qos_specs_id, other.id)
    await disassociate(context, other, await seeType(context, member, type.id))
    await deleteType(context, type)
    await assert.rejects(associate(context, one, type), { status: 404 })
    await changeQos(context, one, 'both', { a: '1' })
    assert.deepEqual((await seeQos(context, one.id)).specs, { a: '1' })
  })

  test('a type that is deleted meanwhile gets no volume', async () => {
    const type = await typeNamed('brief')
    const make = createVolume(
      overtakenBy(() => deleteType(context, type)),
      member,
      {
        projectId: DEMO,
        userId: 'u',
        sizeGiB: 1,
        type: type.id,
        zone: null,
        imageId: null,
        snapshotId: null,
        sourceVolumeId: null,
        multiattach: false,
        ...plain,
      },
    )
    await assert.rejects(make, { status: 404 })
    const { id } = await house.volume()
    const next = await typeNamed('brief')
    await assert.rejects(
      retypeVolume(
        overtakenBy(() => deleteType(context, next)),
        member,
        await seen(id),
        next.id,
      ),
      { status: 400 },
    )
  })

  test('of two who say the same at once the second hears that it is so', async () => {
    const both = async (method: string, path: string, body: object) =>
      (await Promise.all([1, 2].map(() => house.request(method, path, { body })))).map((one) => one.status).sort()
    assert.deepEqual(await both('POST', '/types', { volume_type: { name: 'twice' } }), [200, 409])
    const hidden = await createType(context, { name: 'hidden', isPublic: false, extraSpecs: {} })
    assert.deepEqual(await both('POST', `/types/${hidden.id}/action`, { addProjectAccess: { project: DEMO } }), [202, 409])
    assert.deepEqual(await both('POST', '/qos-specs', { qos_specs: { name: 'twice' } }), [200, 409])
    const rename = async (name: string) => {
      const { id } = await typeNamed(randomUUID())
      return (await house.request('PUT', `/types/${id}`, { body: { volume_type: { name } } })).status
    }
    assert.deepEqual((await Promise.all([rename('again'), rename('again')])).sort(), [200, 409])
    const id = randomUUID()
    assert.deepEqual(await both('POST', '/volumes', { volume: { id, size: 1 } }), [202, 202])
    await house.idle()
    assert.deepEqual(await both('POST', '/snapshots', { snapshot: { id: randomUUID(), volume_id: id } }), [202, 202])
    assert.deepEqual(await both('POST', '/attachments', { attachment: { id: randomUUID(), volume_uuid: id } }), [200, 200])
    const snapshot = await snapshotOf((await house.volume()).id)
    await assert.rejects(tellSnapshotStatus(context, { ...snapshot, status: 'creating' }, 'error'), { status: 400 })
  })
})
