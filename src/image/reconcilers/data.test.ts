import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { imageHouse } from '../testing.ts'
import { reconcileData } from './data.ts'

const part = '11111111-1111-4111-8111-111111111111'

test('what a killed process left is put right: uploads queued again, orphans removed, what lives untouched', async () => {
  const house = await imageHouse()
  const { service, directory } = house
  const { db } = service.context.database
  const living = await house.active()
  const stuck = await house.image()
  const busy = await house.image()
  await db
    .updateTable('images')
    .set({ status: 'saving', upload_id: part, lease_until: '2020-01-01T00:00:00.000Z' })
    .where('id', '=', stuck)
    .execute()
  await db
    .updateTable('images')
    .set({ status: 'saving', upload_id: 'b', lease_until: '2999-01-01T00:00:00.000Z' })
    .where('id', '=', busy)
    .execute()
  writeFileSync(join(directory, `${part}.part`), 'half')
  writeFileSync(join(directory, 'b.part'), 'half')
  writeFileSync(join(directory, stuck), 'committed, but the row was not')
  writeFileSync(join(directory, '22222222-2222-4222-8222-222222222222'), 'no row')
  writeFileSync(join(directory, 'c.part'), 'no upload')
  assert.equal((await reconcileData(service.context)).length, 3)
  assert.deepEqual(readdirSync(directory).sort(), [living, 'b.part'].sort())
  assert.equal((await house.request('GET', `/image/v2/images/${stuck}`)).body.status, 'queued')
  assert.equal((await house.request('GET', `/image/v2/images/${busy}`)).body.status, 'saving')
  assert.deepEqual(await reconcileData(service.context), [])
  await house.close()
})

test('an import that was cut off is done again at the next start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'yun-images-'))
  const databaseUrl = `sqlite:${join(folder, 'image.sqlite')}`
  const directory = join(folder, 'images')
  const before = await imageHouse({ databaseUrl, directory })
  const id = await before.image()
  await before.request('PUT', `/image/v2/images/${id}/stage`, { text: 'staged', headers: { 'content-type': 'application/octet-stream' } })
  await before.service.context.database.db
    .updateTable('images')
    .set({ status: 'importing', lease_until: '2999-01-01T00:00:00.000Z' })
    .where('id', '=', id)
    .execute()
  await before.service.stop()
  const after = await imageHouse({ databaseUrl, directory })
  await after.service.reconcilers[0]!.settle()
  const { status, size } = (await after.request('GET', `/image/v2/images/${id}`)).body
  assert.deepEqual({ status, size }, { status: 'active', size: 6 })
  await after.close()
  rmSync(folder, { recursive: true })
})
