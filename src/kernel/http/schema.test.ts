import assert from 'node:assert/strict'
import { test } from 'node:test'
import Type from 'typebox'
import { misfit } from './schema.ts'

test('whatever a name in a record is, what stands behind it is looked at', () => {
  const record = Type.Record(Type.String(), Type.String())
  for (const schema of [record, Type.Object({ inside: Type.Array(record) })])
    for (const kind of ['body', 'response'] as const)
      for (const name of ['a', '', 'a\nb', '\n', '\r', 'a\u2028b', '\u2029', '\ud800']) {
        const of = (value: unknown) => (schema === record ? { [name]: value } : { inside: [{ [name]: value }] })
        assert.equal(misfit(schema, of('text'), kind), null, JSON.stringify(name))
        assert.match(misfit(schema, of({ admin: true }), kind) ?? '', /must be string/, JSON.stringify(name))
      }
})
