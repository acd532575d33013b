import fc from 'fast-check'
import type { Route } from './route.ts'

/** A body that looks like the route's own, with something else in each place: schemas are walked, so that it comes far. */
export function bodyFor(route: Route, scalar: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const junk = fc.jsonValue({ maxDepth: 2 })
  if (!route.body) return junk
  return fc.oneof({ weight: 8, arbitrary: like(route.body, scalar) }, { weight: 1, arbitrary: junk })
}

function like(schema: any, scalar: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.oneof(fc.constantFrom(...schema.enum), scalar)
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one: any) => like(one, scalar)))
  if (schema.type === 'array') return fc.array(like(schema.items ?? {}, scalar), { maxLength: 3 })
  if (schema.type === 'object' && schema.properties) {
    const fields = Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => [name, like(one, scalar)]))
    return fc.record(fields, { requiredKeys: (schema.required ?? []).filter((name: string) => name in fields) })
  }
  if (schema.type === 'object') return fc.dictionary(fc.constantFrom('a', 'b c', '__proto__', 'constructor'), scalar, { maxKeys: 3 })
  if (schema.type === 'string') {
    if (schema.format === 'uuid') return fc.oneof(fc.uuid(), scalar)
    return fc.oneof(fc.string({ maxLength: 12 }), fc.stringMatching(/^[a-z]{1,8}$/), scalar)
  }
  if (schema.type === 'integer' || schema.type === 'number') return fc.oneof(fc.integer({ min: -1, max: 300 }), fc.maxSafeInteger(), scalar)
  if (schema.type === 'boolean') return fc.boolean()
  return fc.oneof(scalar, fc.jsonValue({ maxDepth: 2 }))
}
