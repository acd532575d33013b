import assert from 'node:assert/strict'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type ImageHouse, imageHouse } from '../testing.ts'
import { assertAllowed, lookupOutside, openWebSource, WEB_SOURCES, type WebSources } from './web-source.ts'

describe('addresses that are not fetched from', () => {
  for (const uri of [
    'file:///etc/shadow',
    'ftp://example.org/image',
    'no address',
    'http://user:secret@example.org/',
    'http://example.org:22/',
    'http://127.0.0.1/',
    'http://0x7f000001/',
    'http://2130706433/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://169.254.169.254/latest/meta-data',
    'http://10.0.0.1/',
    'http://192.168.1.1/',
    'http://0.0.0.0/',
    'http://[fe80::1]/',
    'http://[fd00::1]/',
    'http://127.1/',
    'http://0177.0.0.1/',
    'http://127.0.0.1./',
    'http://①②⑦.0.0.1/',
    'http://172.16.0.1/',
    'http://100.64.0.1/',
    'http://255.255.255.255/',
    'http://224.0.0.1/',
    'http://[::]/',
    'http://[::127.0.0.1]/',
    'http://[::ffff:0:127.0.0.1]/',
    'http://[::ffff:a9fe:a9fe]/',
    'http://[64:ff9b::169.254.169.254]/',
    'http://[64:ff9b:1::a00:1]/',
    'http://[2002:7f00:1::]/',
    'http://[2001:0:7f00:1::]/',
    'http://[fec0::1]/',
    'http://[fd00:ec2::254]/',
    'http://[ff02::1]/',
    'gopher://example.org/',
    'data:,x',
    'https://example.org:80443/',
  ])
    test(uri, () => assert.throws(() => assertAllowed(uri, WEB_SOURCES), { status: 400, message: /does not pass filtering/ }))

  test('addresses outside are', () => {
    for (const uri of ['http://198.51.99.1/', 'https://[2606:4700::1111]/', 'https://example.org/image?x=1'])
      assert.equal(assertAllowed(uri, WEB_SOURCES).href, uri)
  })

  test('a name is asked once, and of its answers all must lie outside', async () => {
    const ask = (...answers: string[]) =>
      new Promise<unknown>((resolve, reject) =>
        lookupOutside(async () => answers.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })))(
          'rebinds.example',
          { all: true },
          (error, found) => (error ? reject(error) : resolve(found)),
        ),
      )
    const inside = { status: 400, message: /leads to an address inside/ }
    assert.deepEqual(await ask('93.184.216.34'), [{ address: '93.184.216.34', family: 4 }])
    for (const hidden of ['127.0.0.1', '169.254.169.254', '::1', '::ffff:10.0.0.1', '64:ff9b::a00:1', '::127.0.0.1', 'fd00::1'])
      await assert.rejects(ask('93.184.216.34', hidden), inside, hidden)
    await assert.rejects(ask(), inside)
  })

  test('a name that leads inside', async () => {
    await assert.rejects(openWebSource('http://localhost/', WEB_SOURCES), { status: 400, message: /leads to an address inside/ })
  })
})

describe('a web server', () => {
  let server: Server
  let origin: string
  let sources: WebSources
  let house: ImageHouse
  let answer: RequestListener
  before(async () => {
    server = createServer((request, response) => answer(request, response)).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    origin = `http://127.0.0.1:${port}`
    sources = { ...WEB_SOURCES, trustedHosts: [`127.0.0.1:${port}`] }
    house = await imageHouse({ webSources: sources, maxImageBytes: 1024, pace: { bytes: 100, ms: 300 } })
  })
  after(async () => {
    server.close()
    await house.close()
  })

  /** The image after it was to be fetched from the server that answers so. */
  async function imported(listener: RequestListener) {
    answer = listener
    const id = await house.image()
    const body = { method: { name: 'web-download', uri: `${origin}/image` } }
    assert.equal((await house.request('POST', `/image/v2/images/${id}/import`, { body })).status, 202)
    await Promise.all(house.service.context.imports)
    return (await house.request('GET', `/image/v2/images/${id}`)).body
  }

  test('gives the data', async () => {
    const image = await imported((_request, response) => response.end('data'))
    assert.deepEqual([image.status, image.size], ['active', 4])
  })

  test('leads on to the data', async () => {
    const image = await imported((request, response) =>
      request.url === '/there' ? response.end('data') : response.writeHead(302, { location: '/there' }).end(),
    )
    assert.equal(image.status, 'active')
  })

  for (const [what, listener, why] of [
    ['leads inside', (_, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(), /address inside/],
    ['leads to a file', (_, response) => response.writeHead(302, { location: 'file:///etc/shadow' }).end(), /not http or https/],
    ['leads in a circle', (_, response) => response.writeHead(302, { location: '/again' }).end(), /more than 5 times/],
    ['does not have it', (_, response) => response.writeHead(404).end(), /answers 404/],
    ['has too much', (_, response) => response.end(Buffer.alloc(2048)), /too large/],
    ['has something hostile', (_, response) => response.end('HOSTILE'), /backing file/],
    ['breaks off', (_, response) => response.writeHead(200, { 'content-length': '900' }).write('x', () => response.destroy()), /./],
  ] as [string, RequestListener, RegExp][])
    test(`${what}: the image is queued again and says why`, async () => {
      const image = await imported(listener)
      assert.deepEqual([image.status, image.size, image.os_glance_failed_import], ['queued', null, 'file'])
      assert.match(image.os_glance_import_error, why)
    })

  test('sends byte after byte without end: the image is queued again, and the connection ends', async () => {
    const ended = Promise.withResolvers<void>()
    const image = await imported((_, response) => {
      const trickle = setInterval(() => response.write('x'), 10)
      response.once('close', () => {
        clearInterval(trickle)
        ended.resolve()
      })
    })
    assert.deepEqual([image.status, image.os_glance_failed_import], ['queued', 'file'])
    assert.match(image.os_glance_import_error, /too slowly: less than 100 bytes in 0.3 s/)
    await ended.promise
  })

  test('an address inside, no address, an image that is not queued: refused at once', async () => {
    const begin = async (id: string, uri?: string) =>
      (await house.request('POST', `/image/v2/images/${id}/import`, { body: { method: { name: 'web-download', uri } } })).status
    const id = await house.image()
    assert.equal(await begin(id, 'http://169.254.169.254/'), 400)
    assert.equal(await begin(id), 400)
    assert.equal(await begin(await house.active(), `${origin}/image`), 409)
    assert.equal((await house.request('GET', `/image/v2/images/${id}`)).body.status, 'queued')
  })
})
