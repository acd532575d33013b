import { badRequest } from '../../../kernel/errors/errors.ts'

type Value = string | number | boolean | null
type Resolve = (variable: string) => Value | undefined

const compare =
  (holds: (a: any, b: any) => boolean) =>
  (values: Value[]): boolean =>
    values.length >= 2 && values.slice(1).every((value) => value !== undefined && holds(values[0], value))

const OPERATORS: Record<string, (values: any[]) => boolean> = {
  '=': compare((a, b) => a === b || String(a) === String(b)),
  '<': compare((a, b) => a < b),
  '>': compare((a, b) => a > b),
  '<=': compare((a, b) => a <= b),
  '>=': compare((a, b) => a >= b),
  in: (values) => values.length >= 2 && values.slice(1).some((value) => String(value) === String(values[0])),
  not: (values) => values.length > 0 && !values.some(Boolean),
  or: (values) => values.some(Boolean),
  and: (values) => values.length > 0 && values.every(Boolean),
}

/** @throws Fault 400 for a query that is no JSON or no expression, so that it is refused before anything is built */
export function parseQuery(text: unknown): unknown[] | null {
  if (text === undefined || text === null || text === '') return null
  let query = [text].flat()[0]
  if (typeof query === 'string')
    try {
      query = JSON.parse(query)
    } catch (error) {
      throw badRequest(`The scheduler hint 'query' is not valid JSON: ${(error as Error).message}`)
    }
  check(query)
  return query as unknown[]
}

function check(query: unknown): void {
  if (!Array.isArray(query) || typeof query[0] !== 'string' || !Object.hasOwn(OPERATORS, query[0]))
    throw badRequest(
      `The scheduler hint 'query' must be [operator, argument, ...] with one of ${Object.keys(OPERATORS).join(', ')}, not ${JSON.stringify(query)}`,
    )
  for (const part of query.slice(1)) if (Array.isArray(part)) check(part)
}

/** JsonFilter's little language: `[">=", "$free_ram_mb", 1024]`; a variable that the host does not have makes its comparison false. */
export function holds(query: unknown[], resolve: Resolve): boolean {
  const [operator, ...parts] = query as [string, ...unknown[]]
  const values = parts.map((part) => {
    if (Array.isArray(part)) return holds(part, resolve)
    return typeof part === 'string' && part.startsWith('$') ? resolve(part.slice(1)) : (part as Value)
  })
  if (values.includes(undefined)) return false
  return OPERATORS[operator]!(values)
}
