import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonStream } from './json-stream.ts'

test('objects come out whole however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), { maxLength: 5 }),
      fc.integer({ min: 1, max: 9 }),
      (messages, size) => {
        const bytes = Buffer.from(messages.map((message) => JSON.stringify(message)).join('\n'))
        const stream = new JsonStream()
        const out: unknown[] = []
        for (let i = 0; i < bytes.length; i += size) out.push(...stream.push(bytes.subarray(i, i + size)))
        assert.deepEqual(JSON.stringify(out), JSON.stringify(messages))
      },
    ),
  )
})

test('what is between objects and no space is refused', () => {
  assert.throws(() => new JsonStream().push(Buffer.from('{"a":1}x')), SyntaxError)
  assert.throws(() => new JsonStream().push(Buffer.from('}')), SyntaxError)
  assert.throws(() => new JsonStream().push(Buffer.from('HTTP/1.1 400')), SyntaxError)
})
