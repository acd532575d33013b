import { badRequest } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { type Condition, type ListQuery, selectRow } from '../db/list.ts'
import type { Kind, Noun } from './noun.ts'

/** The query of a list read: filters on attributes (a repeated one means any of its values), order, page. @throws Fault 400 naming the parameter */
export async function readQuery(db: Handle, noun: Noun, query: Record<string, string | string[]>): Promise<ListQuery> {
  const conditions: Condition[] = []
  for (const [name, given] of Object.entries(query)) {
    const values = [given].flat().map(String)
    if (Object.hasOwn(noun.filters ?? {}, name)) conditions.push(noun.filters![name]!(values))
    else if (Object.hasOwn(noun.columns, name)) {
      const [column, kind] = noun.columns[name]!
      const wanted = values.map((value) => filterValue(name, kind, value))
      conditions.push((selection) => selection.where(column, 'in', wanted))
    } else if (/^(not-)?tags(-any)?$/.test(name))
      conditions.push(
        tagged(
          name,
          values.flatMap((value) => value.split(',')),
        ),
      )
  }
  const backwards = truth(one(query.page_reverse) ?? 'false') === true
  const markerId = one(query.marker)
  const marker = markerId === undefined ? null : await selectRow(db, noun.table, markerId)
  if (marker === undefined) throw badRequest(`Invalid marker: there is no ${noun.name} ${markerId}.`, 'InvalidInput')
  return { conditions, sort: sortOf(noun, query), limit: limitOf(one(query.limit)), marker, backwards }
}

function filterValue(name: string, kind: Kind, text: string): string | number {
  if (kind === 'text') return text
  if (kind === 'number') {
    if (!/^-?\d{1,15}$/.test(text)) throw badRequest(`'${text}' is not an integer: filter ${name}.`, 'InvalidInput')
    return Number(text)
  }
  const value = truth(text)
  if (value === null) throw badRequest(`'${text}' cannot be converted to boolean: filter ${name}.`, 'InvalidInput')
  return Number(value)
}

function truth(text: string): boolean | null {
  if (/^(true|1|yes|on)$/i.test(text)) return true
  return /^(false|0|no|off)$/i.test(text) ? false : null
}

/** Tags are kept as a JSON list: each is looked for with its quotes. */
function tagged(name: string, tags: string[]): Condition {
  const any = name.endsWith('-any')
  const not = name.startsWith('not-')
  return (query) =>
    query.where((eb) => {
      const each = tags.map((tag) => eb(eb.fn('instr', ['tags', eb.val(JSON.stringify(tag))]), '>', 0))
      const all = any ? eb.or(each) : eb.and(each)
      return not ? eb.not(all) : all
    })
}

function sortOf(noun: Noun, query: Record<string, string | string[]>): ListQuery['sort'] {
  const keys = [query.sort_key ?? []].flat()
  const directions = [query.sort_dir ?? []].flat()
  if (directions.length > keys.length) throw badRequest('The number of sort_keys and sort_dirs must be same', 'InvalidInput')
  const sort: ListQuery['sort'] = keys.map((key, i) => {
    if (!Object.hasOwn(noun.columns, key)) throw badRequest(`${key} is invalid attribute for sort_key`, 'InvalidInput')
    const direction = directions[i] ?? 'asc'
    if (direction !== 'asc' && direction !== 'desc')
      throw badRequest(`Invalid sort direction: ${direction}. It must be asc or desc.`, 'InvalidInput')
    return { column: noun.columns[key]![0], direction }
  })
  for (const column of ['created_at', 'id']) if (!sort.some((item) => item.column === column)) sort.push({ column, direction: 'asc' })
  return sort
}

function limitOf(text: string | undefined): number | null {
  if (text === undefined) return null
  if (!/^\d{1,9}$/.test(text)) throw badRequest(`Invalid input for limit. '${text}' is no whole number from 0.`, 'InvalidInput')
  return Number(text) || null
}

const one = (value: string | string[] | undefined) => (Array.isArray(value) ? value.at(-1) : value)
