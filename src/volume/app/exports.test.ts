import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { DEMO } from '../../kernel/http/testing.ts'
import { locks } from '../../kernel/locks/locks.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'
import { deleteAttachment, insertAttachment } from './attachment.ts'
import { connectAttachment } from './connection.ts'
import type { Viewer, VolumeContext } from './context.ts'
import { terminateConnection } from './legacy-attach.ts'
import { extendVolume } from './operations.ts'
import { createType } from './type.ts'
import { seeVolume } from './volume.ts'

/** Attachments that come and go at once, here and in another control process, which knows nothing of this one's locks. */
let house: VolumeHouse
let here: VolumeContext
let there: VolumeContext
let shared: string
before(async () => {
  house = await volumeHouse()
  here = house.service.context
  there = { ...here, locked: locks() }
  shared = (await createType(here, { name: 'shared', extraSpecs: { multiattach: '<is> True' } })).id
})
after(() => house.close())

const viewer: Viewer = { projectId: DEMO, userId: 'u', isAdmin: false, mayName: false, token: null, requestId: 'req-1' }
const connector = { host: 'node-1' }
const seen = (id: string) => seeVolume(here, viewer, id)
const attachment = async (id: string, legacy = 0) => insertAttachment(here, await seen(id), { instance_id: randomUUID(), legacy })

test('an attachment that ends while it is being connected leaves no target, in whatever order its host hears of it', async () => {
  for (const process of [here, there])
    for (const message of ['exportVolume', 'unexportVolume'] as const) {
      const { id } = await house.volume()
      const row = await attachment(id)
      const held = house.storage.hold(message)
      const connecting = connectAttachment(here, row.id, connector).catch((error) => error)
      if (message === 'exportVolume') await held.come
      else await connecting
      const ending = deleteAttachment(process, row)
      if (process === there && message === 'exportVolume') await ending
      held.goOn()
      assert.deepEqual(await ending, [])
      const answer = await connecting
      if (process === there && message === 'exportVolume') assert.equal(answer.status, 409)
      assert.ok(!house.storage.exports.has(id), `${process === there ? 'there' : 'here'}, ${message} late`)
      assert.equal((await seen(id)).status, 'available')
    }
})

test('a connection that is terminated while it is being made is none', async () => {
  const { id } = await house.volume()
  const row = await attachment(id, 1)
  const held = house.storage.hold('exportVolume')
  const connecting = connectAttachment(here, row.id, connector)
  await held.come
  await terminateConnection(there, await seen(id))
  held.goOn()
  await assert.rejects(connecting, { status: 409 })
  assert.ok(!house.storage.exports.has(id))
})

test('who connects while the last one who had the target ends keeps the target', async () => {
  const { id } = await house.volume({ volume_type: shared })
  const [stays, goes] = [await attachment(id), await attachment(id)]
  await connectAttachment(here, goes.id, connector)
  const held = house.storage.hold('unexportVolume')
  const ending = deleteAttachment(there, goes)
  await held.come
  await connectAttachment(here, stays.id, connector)
  held.goOn()
  await ending
  assert.ok(house.storage.exports.has(id))
})

test('a volume that is let go while it grows has no target when it has grown', async () => {
  const { id } = await house.volume()
  const row = await attachment(id)
  await connectAttachment(here, row.id, connector)
  const { db } = here.database
  await db.updateTable('volumes').set({ status: 'in-use' }).where('id', '=', id).execute()
  const held = house.storage.hold('exportVolume')
  await extendVolume(here, viewer, await seen(id), { sizeGiB: 2, attached: true })
  await held.come
  await deleteAttachment(there, row)
  held.goOn()
  await house.idle()
  assert.deepEqual([house.storage.exports.has(id), (await seen(id)).status, (await seen(id)).size], [false, 'available', 2])
})
