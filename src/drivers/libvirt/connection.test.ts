import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { until } from '../daemon.ts'
import type { Libvirt } from './driver.ts'
import { PROGRAM, procedures } from './procedures.ts'
import { realLibvirt } from './real.ts'
import { XdrReader, XdrWriter } from './xdr.ts'

interface Call {
  procedure: number
  serial: number
  args: XdrReader
  socket: Socket
}

let folder: string
let server: Server
let sockets: Socket[]
let libvirt: Libvirt
/** Answers the calls that connecting needs; a test hears of the others. */
let heard: Call[]
let auth: number[]

const header = (body: Buffer, procedure: number, type: number, serial: number, status: number) =>
  Buffer.concat([
    new XdrWriter()
      .int(28 + body.length)
      .int(PROGRAM.remote)
      .int(1)
      .int(procedure)
      .int(type)
      .int(serial)
      .int(status)
      .done(),
    body,
  ])
const answer = ({ socket, procedure, serial }: Call, body: Buffer, { type = 1, status = 0 } = {}) =>
  socket.write(header(body, procedure, type, serial, status))
const nothing = Buffer.alloc(0)

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'libvirt-rpc-'))
  heard = []
  sockets = []
  auth = [0]
  server = createServer((socket) => {
    sockets.push(socket)
    let received: Buffer = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 4 && received.length >= received.readUInt32BE(0)) {
        const message = new XdrReader(received.subarray(4, received.readUInt32BE(0)))
        received = received.subarray(received.readUInt32BE(0))
        const [, , procedure, , serial] = Array.from({ length: 6 }, () => message.int()) as number[]
        const call = { procedure: procedure!, serial: serial!, args: message, socket }
        if (procedure === procedures.authList.number) {
          const list = new XdrWriter().int(auth.length)
          for (const way of auth) list.int(way)
          answer(call, list.done())
        } else if (procedure === procedures.connectOpen.number) answer(call, nothing)
        else if (procedure === procedures.connectDomainEventRegister.number) answer(call, new XdrWriter().int(0).done())
        else heard.push(call)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(join(folder, 'sock'), resolve))
  libvirt = realLibvirt({ socketPath: join(folder, 'sock'), timeoutMs: 500 })
})
afterEach(async () => {
  libvirt.close()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true })
})

const call = async (number: number) => {
  await until(`call ${number}`, () => heard.length >= number, 1_000)
  return heard[number - 1]!
}

test('answers find their calls, in whatever order and pieces they come', async () => {
  const name = libvirt.hostname()
  const xml = libvirt.capabilities()
  const [first, second] = [await call(1), await call(2)]
  answer(second, new XdrWriter().string('<capabilities/>').done())
  const reply = header(new XdrWriter().string('node-1').done(), first.procedure, 1, first.serial, 0)
  for (const byte of reply) first.socket.write(Buffer.from([byte]))
  assert.deepEqual(await Promise.all([name, xml]), ['node-1', '<capabilities/>'])
})

test('an error becomes the Fault of its number', async () => {
  const asked = libvirt.domainXml('7d2c5a52-0f6c-4d6e-9a57-3c1f6f0e8a01')
  const error = new XdrWriter().int(42).int(10).optionalString('no domain with matching uuid').int(2).int(0)
  answer(await call(1), error.done(), { status: 1 })
  await assert.rejects(asked, { status: 404, code: 'NoDomain', message: /domain-xml .*no domain with matching uuid/ })
})

test('no answer is a Fault after the time; a late one is dropped', async () => {
  await assert.rejects(libvirt.hostname(), { status: 503, message: /no answer to hostname within 500 ms/ })
  answer(await call(1), new XdrWriter().string('late').done())
  const next = libvirt.hostname()
  answer(await call(2), new XdrWriter().string('in time').done())
  assert.equal(await next, 'in time')
})

test('an end in the middle fails the calls in flight; the next connects again', async () => {
  const asked = libvirt.hostname()
  ;(await call(1)).socket.destroy()
  await assert.rejects(asked, { status: 503, code: 'LibvirtUnavailable', message: /it ended the connection while hostname was under way/ })
  const again = libvirt.hostname()
  answer(await call(2), new XdrWriter().string('back').done())
  assert.equal(await again, 'back')
})

test('a listener keeps the connection; events are read, unknown ones passed over', async () => {
  const events: object[] = []
  libvirt.onEvent((event) => events.push(event))
  await until('connected', () => events.length === 1, 1_000)
  sockets[0]!.destroy()
  await until('down and up again', () => events.length === 3, 2_000)
  const body = new XdrWriter().int(0).string('instance-00000001').fixed(Buffer.alloc(16, 0xab)).int(7).int(5).int(0).done()
  sockets[1]!.write(Buffer.concat([header(nothing, 9999, 2, 0, 0), header(body, 318, 2, 0, 0)]))
  await until('the event', () => events.length === 4, 1_000)
  assert.deepEqual(events, [
    { kind: 'connection', up: true },
    { kind: 'connection', up: false },
    { kind: 'connection', up: true },
    {
      kind: 'lifecycle',
      uuid: 'abababab-abab-abab-abab-abababababab',
      name: 'instance-00000001',
      id: 7,
      event: 'stopped',
      reason: 'shutdown',
    },
  ])
})

test('a stream is gathered up to its end, which is acknowledged', async () => {
  const asked = libvirt.screenshot('7d2c5a52-0f6c-4d6e-9a57-3c1f6f0e8a01')
  const screenshot = await call(1)
  answer(screenshot, Buffer.from('abc'), { type: 3, status: 2 })
  answer(screenshot, Buffer.from('de'), { type: 3, status: 2 })
  answer(screenshot, nothing, { type: 3, status: 2 })
  const end = await call(2)
  assert.equal(end.serial, screenshot.serial)
  answer(end, nothing, { type: 3 })
  answer(screenshot, new XdrWriter().optionalString('image/png').done()) // it may be overtaken by the stream
  assert.deepEqual(await asked, { mime: 'image/png', data: Buffer.from('abcde') })
})

test('a daemon that wants a password, or talks something else, is told apart', async () => {
  auth = [1]
  await assert.rejects(libvirt.hostname(), { status: 503, message: /SASL/ })
  auth = [0]
  const asked = libvirt.hostname()
  ;(await call(1)).socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
  await assert.rejects(asked, { status: 503, code: 'LibvirtUnavailable' })
})

test('what is no uuid is refused before it is sent', async () => {
  await assert.rejects(async () => libvirt.domainByUuid('x'), { status: 400 })
  assert.deepEqual(heard, [])
})

test('a message that ends too early is no value', () => {
  assert.throws(() => new XdrReader(Buffer.from([0, 0, 0, 9, 1])).string(), RangeError)
  assert.throws(() => new XdrReader(Buffer.from([0xff, 0, 0, 0])).list(() => 0), RangeError)
})
