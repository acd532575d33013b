import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { OTHER } from '../../kernel/http/testing.ts'
import { type ImageHouse, imageHouse, trusting } from '../testing.ts'
import type { ImageContext } from './context.ts'
import { download } from './download.ts'
import { addTag, type Image, removeImage, removeTag, seeImage } from './image.ts'
import { importFromWeb, importStaged } from './import.ts'
import { addMember, answerMembership, memberOf } from './member.ts'
import { setActive, stageData, uploadData } from './upload.ts'

const admin = { projectId: 'd0', isAdmin: true }
const asker = { requestId: 'req-1', userId: null, projectId: null }

/** What was read of an image is no longer so when it is written. */
eachDatabaseUrl((fresh) => {
  let house: ImageHouse
  let context: ImageContext
  const inspected: string[] = []
  before(async () => {
    house = await imageHouse({
      databaseUrl: await fresh(),
      webSources: { trustedHosts: ['127.0.0.1'] },
      inspect: (path, format, id) => {
        inspected.push(format)
        return trusting(path, format, id)
      },
    })
    context = house.service.context
  })
  after(() => house.close())

  const read = async (id: string): Promise<Image> => (await seeImage(context, id, admin)).image
  const show = async (id: string) => (await house.request('GET', `/image/v2/images/${id}`)).body
  const remove = (id: string) => house.request('DELETE', `/image/v2/images/${id}`)
  const stage = (id: string) =>
    house.request('PUT', `/image/v2/images/${id}/stage`, { text: 'staged', headers: { 'content-type': 'application/octet-stream' } })
  const nothingIsLeft = async () => {
    for (const table of ['image_tags', 'image_properties', 'image_members', 'image_tasks'] as const)
      assert.deepEqual(await context.database.db.selectFrom(table).selectAll().execute(), [], table)
    assert.deepEqual(readdirSync(house.directory), [])
  }

  for (const [what, write] of [
    ['a tag', (image) => addTag(context, image, 'late')],
    ['a tag less', (image) => removeTag(context, image, 'first')],
    ['a member', (image) => addMember(context, image, OTHER)],
    ['its data', (image) => uploadData(context, image, Readable.from([Buffer.from('late')]), null)],
    ['data to be imported', (image) => stageData(context, image, Readable.from([Buffer.from('late')]), null)],
    ['an import of what is staged', (image) => importStaged(context, image, asker)],
    ['an import', (image) => importFromWeb(context, image, 'http://127.0.0.1/', asker)],
    ['its activation', (image) => setActive(context, image, true)],
    ['its deletion', (image) => removeImage(context, image)],
  ] as [string, (image: Image) => Promise<unknown>][])
    test(`of an image that is deleted meanwhile, ${what} is refused with 404, and nothing stays`, async () => {
      const image = await read(await house.image({ tags: ['first'], property: 'x' }))
      assert.equal((await remove(image.id)).status, 204)
      await assert.rejects(write(image), { status: 404 })
      await nothingIsLeft()
    })

  test('a membership that ended meanwhile is not answered', async () => {
    const id = await house.image()
    const members = `/image/v2/images/${id}/members`
    await house.request('POST', members, { body: { member: OTHER } })
    const image = await read(id)
    const member = await memberOf(context, image, admin, OTHER)
    await house.request('DELETE', `${members}/${OTHER}`)
    await assert.rejects(answerMembership(context, image, member, 'accepted'), { status: 404 })
    await remove(id)
  })

  test('tags, properties and members that come at once all stay, and no more than there may be', async () => {
    const id = await house.image({ tags: Array.from({ length: 126 }, (_, n) => `t${n}`) })
    const image = await read(id)
    await Promise.all([addTag(context, image, 'one'), addTag(context, image, 'two')])
    await assert.rejects(addTag(context, image, 'too-many'), { status: 413 })
    await Promise.all(['a', 'b', 'c'].map((name) => house.patch(id, [{ op: 'add', path: `/${name}`, value: name }])))
    const { tags, a, b, c } = await show(id)
    assert.deepEqual([tags.length, a, b, c], [128, 'a', 'b', 'c'])
    const added = await Promise.allSettled(Array.from({ length: 130 }, (_, n) => addMember(context, image, `p${n}`)))
    assert.equal(added.filter(({ status }) => status === 'fulfilled').length, 128)
    await remove(id)
  })

  test('an image that is protected meanwhile is not deleted', async () => {
    const image = await read(await house.active())
    await house.patch(image.id, [{ op: 'replace', path: '/protected', value: true }])
    await assert.rejects(removeImage(context, image), { status: 403 })
    assert.deepEqual(readdirSync(house.directory), [image.id])
    await house.patch(image.id, [{ op: 'replace', path: '/protected', value: false }])
    await remove(image.id)
  })

  test('an image that is no longer shared takes no members', async () => {
    const image = await read(await house.image())
    await house.patch(image.id, [{ op: 'replace', path: '/visibility', value: 'private' }])
    await assert.rejects(addMember(context, image, OTHER), { status: 403 })
    await remove(image.id)
  })

  test('data are looked at as what the image is called when they come, and a patch that comes with them does not change that', async () => {
    for (const bring of [uploadData, stageData]) {
      const image = await read(await house.image({ disk_format: 'qcow2' }))
      await house.patch(image.id, [{ op: 'replace', path: '/disk_format', value: 'raw' }])
      inspected.length = 0
      const data = Readable.from(
        (async function* () {
          yield Buffer.from('data')
          assert.equal((await house.patch(image.id, [{ op: 'replace', path: '/disk_format', value: 'qcow2' }])).status, 403)
        })(),
      )
      await bring(context, image, data, null)
      if (bring === stageData) await importStaged(context, image, asker)
      await Promise.all(context.imports)
      assert.deepEqual([inspected, (await show(image.id)).disk_format, (await show(image.id)).status], [['raw'], 'raw', 'active'])
      await remove(image.id)
    }
    await nothingIsLeft()
  })

  test('an image without a format takes no data, even if it had one', async () => {
    const image = await read(await house.image())
    await house.patch(image.id, [{ op: 'replace', path: '/disk_format', value: null }])
    for (const bring of [uploadData, stageData])
      await assert.rejects(bring(context, image, Readable.from([Buffer.from('data')]), null), { status: 400 })
    await assert.rejects(importFromWeb(context, image, 'http://127.0.0.1/', asker), { status: 400 })
    await remove(image.id)
  })

  test('staged data go with their image', async () => {
    const id = await house.image()
    await stage(id)
    assert.equal(readdirSync(house.directory).length, 1)
    assert.equal((await remove(id)).status, 204)
    await nothingIsLeft()
  })

  test('what is being downloaded comes whole, though it is deleted', async () => {
    const image = await read(await house.active({}, 'all of it'))
    const { stream } = (await download(context, image, admin, undefined))!
    await remove(image.id)
    assert.equal(Buffer.concat(await Array.fromAsync(stream)).toString(), 'all of it')
    await assert.rejects(download(context, image, admin, undefined), { status: 404 })
  })

  test('an id is given once: data on their way to the image that had it come to no other', async () => {
    const id = await house.image()
    await remove(id)
    const again = await house.request('POST', '/image/v2/images', { body: { id, name: 'again' } })
    assert.equal(again.status, 409)
  })

  test('of an image that is deleted while its import fails nothing stays', async () => {
    const id = await house.image()
    const { transaction } = context.database
    const web = createServer((_request, response) => {
      context.database.transaction = async (work) => {
        context.database.transaction = transaction
        await remove(id)
        return await transaction(work)
      }
      response.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => web.once('listening', resolve))
    await importFromWeb(context, await read(id), `http://127.0.0.1:${(web.address() as AddressInfo).port}/`, asker)
    await Promise.all(context.imports)
    web.close()
    await assert.rejects(read(id), { status: 404 })
    await nothingIsLeft()
  })
})
