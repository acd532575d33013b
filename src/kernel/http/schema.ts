import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import Type, { type TSchema } from 'typebox'

/** Bodies are taken as they are; queries arrive as text, so numbers and booleans are read from it. Schemas are compiled when first needed: a start pays for none. */
const options = { strict: false, allErrors: false, verbose: true, useDefaults: true }
const body = (addFormats as any)(new Ajv(options)) as Ajv
const query = (addFormats as any)(new Ajv({ ...options, coerceTypes: 'array' })) as Ajv
const compiled = new WeakMap<TSchema, ValidateFunction>()

const answers = (addFormats as any)(new Ajv({ ...options, useDefaults: false })) as Ajv
const compiledAnswers = new WeakMap<TSchema, ValidateFunction>()

function validator(schema: TSchema, kind: Kind): ValidateFunction {
  const cache = kind === 'response' ? compiledAnswers : compiled
  const known = cache.get(schema)
  if (known) return known
  const all = everyName(schema)
  const fresh = kind === 'response' ? answers.compile(closed(all)) : (kind === 'query' ? query : body).compile(all)
  cache.set(schema, fresh)
  return fresh
}

/** How a record says that it takes any name, and how it must: a dot is no line break, and a name that no pattern fits would be there with anything behind it. */
const [ANY, EVERY] = ['^.*$', '^[\\s\\S]*$']

function everyName(schema: any): any {
  if (Array.isArray(schema)) return schema.map(everyName)
  if (typeof schema !== 'object' || schema === null || !JSON.stringify(schema).includes(JSON.stringify(ANY))) return schema
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key === ANY ? EVERY : key, everyName(value)]))
}

type Kind = 'body' | 'query' | 'response'

/** Null if `value` fits, else one sentence that says where and why it does not. */
export function misfit(schema: TSchema, value: unknown, kind: Kind): string | null {
  const validate = validator(schema, kind)
  if (validate(value)) return null
  return explain(deepest(validate.errors ?? []), kind)
}

/** The same schema with every object closed that does not say itself what else it may hold. */
export function closed(schema: any): any {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const parts = Object.entries(schema).map(([key, value]) => {
    if (key === 'properties' || key === 'patternProperties')
      return [key, Object.fromEntries(Object.entries(value as object).map(([name, one]) => [name, closed(one)]))]
    return [key, ['items', 'anyOf', 'oneOf', 'additionalProperties'].includes(key) ? closed(value) : value]
  })
  const same = Object.fromEntries(parts)
  return (schema.type === 'object' || schema.properties) && schema.additionalProperties === undefined
    ? { ...same, additionalProperties: false }
    : same
}

/** Where a schema lets through what it does not describe, and does not say why: `/server/links[]`. A partial of a closed one is open. */
export function openings(schema: any, at = ''): string[] {
  if (typeof schema !== 'object' || schema === null || schema.description) return []
  const parts: [part: unknown, at: string][] = [
    ...Object.entries({ ...schema.properties, ...schema.patternProperties }).map(
      ([name, one]) => [one, `${at}/${name}`] as [unknown, string],
    ),
    [schema.items, `${at}[]`],
    [schema.additionalProperties, `${at}/*`],
    ...['anyOf', 'oneOf'].flatMap((key) => (schema[key] ?? []).map((one: unknown) => [one, at] as [unknown, string])),
  ]
  const inside = parts.flatMap(([part, where]) => openings(part, where))
  const known = schema.type ?? schema.anyOf ?? schema.oneOf ?? schema.enum ?? schema.const ?? schema.not
  const all = Object.hasOwn(schema.patternProperties ?? {}, ANY)
  const shut = schema.type !== 'object' || all || (schema.additionalProperties !== undefined && schema.additionalProperties !== true)
  const complete = schema.type !== 'array' || schema.items !== undefined
  return known !== undefined && shut && complete ? inside : [at || '/', ...inside]
}

/** Of a union's many complaints the one that got furthest into the document is the one that helps. */
function deepest(errors: ErrorObject[]): ErrorObject {
  return errors.reduce((best, error) => (depth(error) > depth(best) ? error : best))
}
const depth = (error: ErrorObject) => error.instancePath.split('/').length

function explain(error: ErrorObject, kind: Kind): string {
  const where = error.instancePath.slice(1) || (kind === 'query' ? 'query' : 'body')
  const extra = (error.params as { additionalProperty?: string }).additionalProperty
  if (extra !== undefined)
    return `Additional properties are not allowed ('${extra}' was unexpected)${error.instancePath ? ` in ${where}` : ''}`
  const missing = (error.params as { missingProperty?: string }).missingProperty
  if (missing !== undefined) return `Invalid input for field/attribute ${where}. '${missing}' is a required property`
  const shown = JSON.stringify(error.data) ?? 'undefined'
  return `Invalid input for field/attribute ${where}. Value: ${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}. ${error.message}`
}

/** A query by these parameters, each of which may be there more than once; others are overlooked. */
export const queryOf = (...names: string[]) => Type.Object(Object.fromEntries(names.map((name) => [name, Repeated])))
const Repeated = Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())]))

/** Of what is there more than once the last counts. */
export const lastOf = (query: Record<string, string | string[] | undefined>): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(query).map(([name, value]) => [name, Array.isArray(value) ? value.at(-1) : value]))
