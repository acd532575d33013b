import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseDocument } from './document.ts'

const refused = { status: 400, code: 'MalformedRequestBody' }

test('a document is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 20, stringUnit: 'binary' }), (text) => {
      if (/__proto__|\\u(00|d[89a-f])/i.test(text)) return
      assert.deepEqual(parseDocument(text), JSON.parse(text))
    }),
  )
  assert.equal(parseDocument(''), undefined)
  for (const wrong of ['{', 'nul', '{"a":}', '\u001f\u008b\u0008']) assert.throws(() => parseDocument(wrong), refused)
})

test('a hundred levels are read, more are not, however they are made', () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
    [' [ ', '\n]'],
    ['{"\\"{[": ', '}'],
  ] as const) {
    const at = (depth: number) => `${open.repeat(depth - 1)}[]${close.repeat(depth - 1)}`
    assert.deepEqual(parseDocument(at(100)), JSON.parse(at(100)))
    for (const depth of [101, 5_000, 30_000])
      assert.throws(() => parseDocument(at(depth)), { ...refused, message: /more than 100 lists and objects/ })
  }
  const brackets = JSON.stringify({ a: '[{'.repeat(500), 'b\\': '\\"[['.repeat(200), c: '\\\\' })
  assert.deepEqual(parseDocument(brackets), JSON.parse(brackets))
  assert.throws(() => parseDocument('['.repeat(100_000)), refused)
})

test('halves of surrogate pairs are no text, whole pairs are', () => {
  for (const wrong of ['"\\ud800"', '"a\\uDFFFb"', '{"\\udc00": 1}', '[["\\ud83d\\ud83d\\udca9"]]'])
    assert.throws(() => parseDocument(wrong), { ...refused, message: /half of a surrogate pair/ })
  assert.equal(parseDocument('"\\ud83d\\udca9"'), '\u{1f4a9}')
})

test('no document says what every object has', () => {
  for (const name of ['__proto__', '\\u005f_proto__', '__prot\\u006F__', '__\\u0070roto__']) {
    const document = parseDocument(`{"a": {"${name}": {"admin": true}, "b": 1}}`)
    assert.deepEqual(Object.getOwnPropertyNames((document as { a: object }).a), ['b'])
  }
  assert.deepEqual(parseDocument('{"a": "__proto__"}'), { a: '__proto__' })
})
