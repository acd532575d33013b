import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { inMemory, overNetwork } from '../../kernel/http/client.ts'
import { ImageClient } from '../client.ts'
import { type ImageHouse, imageHouse } from '../testing.ts'

let house: ImageHouse
before(async () => {
  house = await imageHouse({ maxImageBytes: 4 * 1024 * 1024 })
})
after(() => house.close())

const show = async (id: string) => (await house.request('GET', `/image/v2/images/${id}`)).body
const octets = { 'content-type': 'application/octet-stream' }

describe('image data', () => {
  test('uploaded data is hashed, inspected, active, and comes back as it was', async () => {
    const data = Buffer.alloc(300_000, 'yun')
    const id = await house.image()
    assert.equal((await house.put(id, data)).status, 204)
    const image = await show(id)
    assert.equal(image.status, 'active')
    assert.equal(image.size, 300_000)
    assert.equal(image.virtual_size, 600_000)
    assert.equal(image.checksum, createHash('md5').update(data).digest('hex'))
    assert.equal(image.os_hash_algo, 'sha512')
    assert.equal(image.os_hash_value, createHash('sha512').update(data).digest('hex'))
    assert.equal(image.stores, 'file')
    const { status, body, headers } = await house.request('GET', image.file.replace('/v2', '/image/v2'))
    assert.equal(status, 200)
    assert.ok(body === data.toString())
    assert.equal(headers['content-length'], '300000')
    assert.equal(headers['content-md5'], image.checksum)
    assert.equal((await house.put(id, 'again')).status, 409)
    assert.equal((await house.request('DELETE', `/image/v2/images/${id}`)).status, 204)
    assert.deepEqual(readdirSync(house.directory), [])
  })

  test('a range is answered with 206, one outside with 416', async () => {
    const id = await house.active({}, '0123456789')
    const range = (text: string) => house.request('GET', `/image/v2/images/${id}/file`, { headers: { range: text } })
    const middle = await range('bytes=2-4')
    assert.deepEqual(
      [middle.status, String(middle.body), middle.headers['content-range'], middle.headers['content-length']],
      [206, '234', 'bytes 2-4/10', '3'],
    )
    assert.equal(String((await range('bytes=8-')).body), '89')
    assert.equal(String((await range('bytes=-3')).body), '789')
    assert.equal(String((await range('bytes=7-100')).body), '789')
    assert.equal((await range('bytes=10-')).status, 416)
    assert.equal((await range('bytes=0-1,3-4')).status, 200)
  })

  test('hostile data is refused; the image is queued again and nothing is left', async () => {
    const id = await house.image()
    const refused = await house.put(id, 'HOSTILE bytes')
    assert.equal(refused.status, 415)
    assert.match(refused.body.error.message, /backing file/)
    const image = await show(id)
    assert.deepEqual([image.status, image.size, image.checksum], ['queued', null, null])
    assert.deepEqual(
      readdirSync(house.directory).filter((name) => name.startsWith(id) || name.endsWith('.part')),
      [],
    )
    assert.equal((await house.put(id, 'harmless')).status, 204)
  })

  test('by default the data itself is looked at: a qcow2 that is called raw, or that names a backing file, is refused', async () => {
    const real = await imageHouse({ inspect: undefined })
    const header = Buffer.alloc(512)
    header.write('QFI\xfb', 'latin1')
    header.writeUInt32BE(2, 4)
    header.writeBigUInt64BE(100n, 8)
    header.writeUInt32BE(11, 16)
    header.writeUInt32BE(16, 20)
    header.writeBigUInt64BE(1n << 30n, 24)
    header.write('/etc/shadow', 100)
    for (const [format, message] of [
      ['raw', /its disk format is raw, its data are qcow2|not safe/],
      ['qcow2', /not safe/],
    ] as const) {
      const id = await real.image({ disk_format: format })
      const refused = await real.put(id, header)
      assert.equal(refused.status, 400)
      assert.match(refused.body.error.message, message)
      assert.match(refused.body.error.message, new RegExp(id))
      assert.equal((await real.request('GET', `/image/v2/images/${id}`)).body.status, 'queued')
    }
    await real.close()
  })

  test('too much data is refused, told beforehand or not; what the sender still sends is read away', async () => {
    const id = await house.image()
    const declared = await house.put(id, Buffer.alloc(5 * 1024 * 1024))
    assert.equal(declared.status, 413)
    assert.match(declared.body.error.message, /at most 4 MiB/)
    const client = new ImageClient(inMemory(house.server.edge), { token: async () => 'admin' })
    const endless = Readable.from(
      (function* () {
        for (let i = 0; i < 80; i++) yield Buffer.alloc(64 * 1024)
      })(),
    )
    await assert.rejects(client.upload(id, endless), { status: 413 })
    assert.equal((await show(id)).status, 'queued')
    assert.ok(!readdirSync(house.directory).some((name) => name.endsWith('.part')))
  })

  test('more than the disk has free is refused before a byte is written', async () => {
    const roomy = await imageHouse({ maxImageBytes: Number.MAX_SAFE_INTEGER })
    const id = await roomy.image()
    const answer = await roomy.request('PUT', `/image/v2/images/${id}/file`, {
      text: 'x',
      headers: { ...octets, 'content-length': String(Number.MAX_SAFE_INTEGER - 1) },
    })
    assert.equal(answer.status, 413)
    assert.match(answer.body.error.message, /media is full/)
    assert.equal((await roomy.request('GET', `/image/v2/images/${id}`)).body.status, 'queued')
    await roomy.close()
  })

  test('a sender that breaks off leaves the image queued', async () => {
    const id = await house.image()
    const address = await house.server.listen(0, '127.0.0.1')
    const until = async (status: string) => {
      for (let i = 0; i < 1000 && (await show(id)).status !== status; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const client = new ImageClient(overNetwork(address), { token: async () => 'admin' })
    const broken = Readable.from(
      (async function* () {
        yield Buffer.alloc(100_000)
        await until('saving')
        throw new Error('the sender died')
      })(),
    )
    await assert.rejects(client.upload(id, broken))
    await until('queued')
    assert.equal((await show(id)).status, 'queued')
    assert.ok(!readdirSync(house.directory).some((name) => name.endsWith('.part')))
    await client.upload(id, Readable.from([Buffer.from('one'), Buffer.from('two')]))
    assert.equal(Buffer.concat(await Array.fromAsync(await client.download(id))).toString(), 'onetwo')
    await assert.rejects(client.download('5f2c8f10-0000-4000-8000-00000000dead'), { status: 404, message: /No image found/ })
  })

  test('data that trickle are refused with 408, the connection ends and nothing is left; what comes at a pace is waited for', async () => {
    const brisk = await imageHouse({ pace: { bytes: 1000, ms: 800 } })
    const address = await brisk.server.listen(0, '127.0.0.1')
    const id = await brisk.image()
    const status = async () => (await brisk.request('GET', `/image/v2/images/${id}`)).body.status
    for (const place of ['file', 'stage']) {
      const socket = connect(Number(new URL(address).port), '127.0.0.1')
      const answer: Buffer[] = []
      socket.on('data', (data: Buffer) => answer.push(data))
      const ended = once(socket, 'close')
      socket.write(`PUT /image/v2/images/${id}/${place} HTTP/1.1\r\nHost: a\r\nX-Auth-Token: admin\r\n`)
      socket.write('Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n')
      const trickle = setInterval(() => socket.write('x'), 10)
      await ended
      clearInterval(trickle)
      const said = Buffer.concat(answer).toString()
      assert.match(said, /^HTTP\/1\.1 408 /)
      assert.match(said, /"code":408,"title":"Request Timeout","message":"The data came too slowly/)
      assert.equal(await status(), 'queued')
      assert.deepEqual(readdirSync(brisk.directory), [])
    }
    const steady = Readable.from(
      (async function* () {
        for (let i = 0; i < 10; i++) {
          yield Buffer.alloc(1000)
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      })(),
    )
    await new ImageClient(overNetwork(address), { token: async () => 'admin' }).upload(id, steady)
    assert.equal(await status(), 'active')
    await brisk.close()
  })

  test('bad requests: no formats, wrong type, foreign image, second upload', async () => {
    const bare = (await house.request('POST', '/image/v2/images', { body: { name: 'x' } })).body.id
    assert.equal((await house.put(bare, 'x')).status, 400)
    const id = await house.image({ visibility: 'public' })
    assert.equal(
      (await house.request('PUT', `/image/v2/images/${id}/file`, { text: 'x', headers: { 'content-type': 'application/json' } })).status,
      415,
    )
    assert.equal((await house.put(id, 'x', 'other')).status, 403)
    assert.equal((await house.request('GET', `/image/v2/images/${id}/file`)).status, 204)
  })

  test('an image deleted while its data comes is gone, with its data', async () => {
    const id = await house.image()
    const client = new ImageClient(inMemory(house.server.edge), { token: async () => 'admin' })
    const slow = Readable.from(
      (async function* () {
        yield Buffer.from('first')
        assert.equal((await show(id)).status, 'saving')
        assert.equal((await house.put(id, 'rival')).status, 409)
        assert.equal((await house.request('DELETE', `/image/v2/images/${id}`)).status, 204)
        yield Buffer.from('second')
      })(),
    )
    await assert.rejects(client.upload(id, slow), { status: 410 })
    assert.ok(!readdirSync(house.directory).some((name) => name === id || name.endsWith('.part')))
  })

  test('a deactivated image is not given out, except to administrators', async () => {
    const id = await house.active({}, 'secret', 'member')
    assert.equal((await house.request('POST', `/image/v2/images/${id}/actions/deactivate`, { as: 'member' })).status, 204)
    assert.equal((await show(id)).status, 'deactivated')
    assert.equal((await house.request('GET', `/image/v2/images/${id}/file`, { as: 'member' })).status, 403)
    assert.equal((await house.request('GET', `/image/v2/images/${id}/file`)).status, 200)
    assert.equal((await house.request('POST', `/image/v2/images/${id}/actions/reactivate`)).status, 204)
    assert.equal((await house.request('GET', `/image/v2/images/${id}/file`, { as: 'member' })).status, 200)
    assert.equal((await house.request('POST', `/image/v2/images/${await house.image()}/actions/deactivate`)).status, 403)
  })

  test('staged data is imported in the background; a bad one tells why', async () => {
    const stage = (id: string, data: string) => house.request('PUT', `/image/v2/images/${id}/stage`, { text: data, headers: octets })
    const begin = (id: string, name = 'glance-direct') =>
      house.request('POST', `/image/v2/images/${id}/import`, { body: { method: { name } } })
    const good = await house.image()
    assert.equal((await begin(good)).status, 409)
    assert.equal((await stage(good, 'staged')).status, 204)
    assert.equal((await show(good)).status, 'uploading')
    assert.equal((await begin(good, 'web-download')).status, 400)
    assert.equal((await begin(good)).status, 202)
    await Promise.all(house.service.context.imports)
    const image = await show(good)
    assert.deepEqual([image.status, image.size], ['active', 6])
    const tasks = async (id: string) => (await house.request('GET', `/image/v2/images/${id}/tasks`)).body.tasks
    const [task, ...more] = await tasks(good)
    assert.deepEqual(more, [])
    assert.deepEqual([task.status, task.message, task.input.import_req], ['success', '', { method: { name: 'glance-direct' } }])
    assert.match(task.request_id, /^req-/)
    const bad = await house.image()
    await stage(bad, 'HOSTILE')
    assert.equal((await begin(bad)).status, 202)
    await Promise.all(house.service.context.imports)
    const refused = await show(bad)
    assert.deepEqual([refused.status, refused.os_glance_failed_import], ['queued', 'file'])
    assert.match(refused.os_glance_import_error, /backing file/)
    const [failed] = await tasks(bad)
    assert.equal(failed.status, 'failure')
    assert.match(failed.message, /backing file/)
    await stage(bad, 'harmless')
    assert.equal((await begin(bad)).status, 202)
    await Promise.all(house.service.context.imports)
    const mended = await show(bad)
    assert.deepEqual([mended.status, mended.os_glance_failed_import, mended.os_glance_import_error], ['active', '', undefined])
    assert.deepEqual(await tasks(await house.image()), [])
    assert.equal((await house.request('DELETE', `/image/v2/images/${bad}`)).status, 204)
    assert.equal((await house.request('GET', `/image/v2/images/${bad}/tasks`)).status, 404)
  })
})
