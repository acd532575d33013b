import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type RfbSeen, RfbWatcher } from './rfb.ts'

/** As QEMU begins: its extended clipboard, whose length is negative. */
const clipboard = () => {
  const message = Buffer.alloc(8 + 4)
  message[0] = 3
  message.writeInt32BE(-4, 4)
  return message
}

function conversation(): Buffer {
  const init = Buffer.alloc(24 + 4)
  init.writeUInt16BE(720, 0)
  init.writeUInt16BE(400, 2)
  init.writeUInt32BE(4, 20)
  init.write('QEMU', 24)
  return Buffer.concat([
    Buffer.from('RFB 003.008\n'),
    Buffer.from([1, 1]),
    Buffer.alloc(4),
    init,
    clipboard(),
    Buffer.from([2, 0, 0, 0, 1]),
  ])
}

test('the first picture is noticed however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 }), (cuts) => {
      const seen: RfbSeen[] = []
      const watcher = new RfbWatcher((one) => seen.push(one))
      let rest = conversation()
      for (const cut of cuts) {
        watcher.fromServer(rest.subarray(0, cut))
        rest = rest.subarray(cut)
      }
      watcher.fromServer(rest)
      assert.deepEqual(seen, [{ version: 'RFB 003.008', width: 720, height: 400 }])
    }),
  )
})

test('before the picture nothing is claimed, and noise claims nothing', () => {
  const seen: RfbSeen[] = []
  new RfbWatcher((one) => seen.push(one)).fromServer(conversation().subarray(0, -4))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) =>
      new RfbWatcher((one) => seen.push(one)).fromServer(Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), noise])),
    ),
  )
  assert.deepEqual(seen, [])
})
