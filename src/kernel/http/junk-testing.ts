import fc from 'fast-check'
import type { Route } from './route.ts'
import { misfit } from './schema.ts'

/** Made once: to make one takes longer than to draw a thousand values of it. */
const WORD = fc.stringMatching(/^[a-z]{1,8}$/)
const PLAIN = fc.constantFrom('x', '10.9.0.1', 1, true, null)

/** A body that looks like the route's own, with something else in each place: schemas are walked, so that it comes far. */
export function bodyFor(route: Route, scalar: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const junk = fc.jsonValue({ maxDepth: 2 })
  if (!route.body) return junk
  return fc.oneof({ weight: 8, arbitrary: like(route.body, scalar) }, { weight: 1, arbitrary: junk })
}

const fitting = new WeakMap<object, unknown>()

/** A body that the route's schema lets through, the same each time; one without anything where none was found. */
export function fittingBody({ body }: Route): unknown {
  if (!body) return {}
  if (!fitting.has(body)) fitting.set(body, drawFitting(body))
  return structuredClone(fitting.get(body))
}

/** Most have one among the first few. */
function drawFitting(body: NonNullable<Route['body']>): unknown {
  const bodies = bodyFor({ body } as Route, PLAIN)
  for (const numRuns of [10, 300]) {
    const found = fc.sample(bodies, { numRuns, seed: 7 }).find((one) => misfit(body, structuredClone(one), 'body') === null)
    if (found !== undefined) return found
  }
  return {}
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
    return fc.oneof(fc.string({ maxLength: 12 }), WORD, scalar)
  }
  if (schema.type === 'integer' || schema.type === 'number') return fc.oneof(fc.integer({ min: -1, max: 300 }), fc.maxSafeInteger(), scalar)
  if (schema.type === 'boolean') return fc.boolean()
  return fc.oneof(scalar, fc.jsonValue({ maxDepth: 2 }))
}
