import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { TSchema } from 'typebox'

/** Bodies are taken as they are; queries arrive as text, so numbers and booleans are read from it. Schemas are compiled when first needed: a start pays for none. */
const options = { strict: false, allErrors: false, verbose: true, useDefaults: true }
const body = (addFormats as any)(new Ajv(options)) as Ajv
const query = (addFormats as any)(new Ajv({ ...options, coerceTypes: 'array' })) as Ajv
const compiled = new WeakMap<TSchema, ValidateFunction>()

function validator(ajv: Ajv, schema: TSchema): ValidateFunction {
  const known = compiled.get(schema)
  if (known) return known
  const fresh = ajv.compile(schema)
  compiled.set(schema, fresh)
  return fresh
}

/** Null if `value` fits, else one sentence that says where and why it does not. */
export function misfit(schema: TSchema, value: unknown, kind: 'body' | 'query'): string | null {
  const validate = validator(kind === 'query' ? query : body, schema)
  if (validate(value)) return null
  return explain(deepest(validate.errors ?? []), kind)
}

/** Of a union's many complaints the one that got furthest into the document is the one that helps. */
function deepest(errors: ErrorObject[]): ErrorObject {
  return errors.reduce((best, error) => (depth(error) > depth(best) ? error : best))
}
const depth = (error: ErrorObject) => error.instancePath.split('/').length

function explain(error: ErrorObject, kind: 'body' | 'query'): string {
  const where = error.instancePath.slice(1) || (kind === 'query' ? 'query' : 'body')
  const extra = (error.params as { additionalProperty?: string }).additionalProperty
  if (extra !== undefined)
    return `Additional properties are not allowed ('${extra}' was unexpected)${error.instancePath ? ` in ${where}` : ''}`
  const missing = (error.params as { missingProperty?: string }).missingProperty
  if (missing !== undefined) return `Invalid input for field/attribute ${where}. '${missing}' is a required property`
  const shown = JSON.stringify(error.data) ?? 'undefined'
  return `Invalid input for field/attribute ${where}. Value: ${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}. ${error.message}`
}
