import type { TSchema } from 'typebox'

type Json = Record<string, any>

/** Shorter schemas are said again where they are used. */
const WORTH_A_NAME = 120

interface Variant {
  schema: TSchema
  /** What tells it from the others. */
  title?: string
}

/**
 * Collects the schemas of one document. Until {@link finish} a schema stands where it is used; then each that is used twice or more gets a
 * name under components, after the property that it is the value of, and a reference everywhere.
 */
export function sharing() {
  const uses = new Map<string, { count: number; hint: string }>()

  const count = (schema: any, hint: string): void => {
    if (!isSchema(schema)) return
    const text = JSON.stringify(schema)
    const known = uses.get(text)
    if (known) {
      known.count++
      return // what is inside is shared with it
    }
    uses.set(text, { count: 1, hint })
    for (const [part, hintOfPart] of partsOf(schema, hint)) count(part, hintOfPart)
  }

  return {
    /** Any of these, each once. */
    either(variants: Variant[], hint: string): Json {
      const plain = variants.map(({ schema, title }) => ({ schema: JSON.parse(JSON.stringify(schema)) as Json, title }))
      for (const { schema, title } of plain) count(schema, title ? `${hint}.${title}` : hint)
      const different = [...Map.groupBy(plain, ({ schema }) => JSON.stringify(schema)).values()]
      if (different.length === 1) return plain[0]!.schema
      return {
        anyOf: different.map((same) => {
          const title = same.map((one) => one.title).filter(Boolean)
          return title.length > 0 ? { title: title.join(', '), allOf: [same[0]!.schema] } : same[0]!.schema
        }),
      }
    },

    /** The document with references, and what they refer to. */
    finish<T extends Json>(document: T): T & { schemas: Json } {
      const names = new Map<string, string>()
      const taken = new Set<string>()
      for (const [text, { count, hint }] of uses) {
        if (count < 2 || text.length < WORTH_A_NAME) continue
        const base = hint.replace(/[^\w.-]+/g, '_')
        let name = base
        for (let n = 2; taken.has(name); n++) name = `${base}_${n}`
        taken.add(name)
        names.set(text, name)
      }
      const referred = (value: any, self?: string): any => {
        if (Array.isArray(value)) return value.map((one) => referred(one))
        if (typeof value !== 'object' || value === null) return value
        const name = names.get(JSON.stringify(value))
        if (name !== undefined && name !== self) return { $ref: `#/components/schemas/${name}` }
        return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, referred(one)]))
      }
      const schemas = Object.fromEntries([...names].map(([text, name]) => [name, referred(JSON.parse(text), name)]))
      return { ...referred(document), schemas }
    },
  }
}

const isSchema = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

function* partsOf(schema: Json, hint: string): Generator<[part: unknown, hint: string]> {
  for (const [name, one] of Object.entries({ ...schema.properties, ...schema.patternProperties }))
    yield [one, /^[\w:.-]+$/.test(name) ? name : hint]
  if (schema.items) yield [schema.items, singular(hint)]
  for (const key of ['anyOf', 'allOf', 'oneOf']) for (const one of schema[key] ?? []) yield [one, hint]
  if (isSchema(schema.additionalProperties)) yield [schema.additionalProperties, `${hint}.value`]
}

const singular = (name: string) => {
  if (name.endsWith('ies')) return `${name.slice(0, -3)}y`
  if (/(x|s|sh|ch)es$/.test(name)) return name.slice(0, -2)
  return name.endsWith('s') ? name.slice(0, -1) : `${name}.item`
}
