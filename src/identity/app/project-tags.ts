import { Raced } from '../../kernel/db/database.ts'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { IdentityContext } from './context.ts'
import { refuseImmutable } from './immutable.ts'

type Tagged = Pick<IdentityTables['projects'], 'tags_json'>

/** Lists of tags with commas between them, as they stand in a query. */
export interface TagFilters {
  tags?: string
  'tags-any'?: string
  'not-tags'?: string
  'not-tags-any'?: string
}

const MOST = 80
const LONGEST = 255

export const tagsIn = (row: Tagged): string[] => (row.tags_json ? JSON.parse(row.tags_json) : [])

/** As they are kept. @throws Fault 400 for too many, one twice, or what is no tag */
export function tagsOf(tags: string[]): string | null {
  if (tags.length > MOST) throw badRequest(`A project has ${MOST} tags at most, not ${tags.length}.`)
  if (new Set(tags).size < tags.length) throw badRequest(`Invalid input for field 'tags': ${JSON.stringify(tags)} has non-unique elements`)
  for (const tag of tags)
    if (tag.length === 0 || tag.length > LONGEST || /[,/]/.test(tag))
      throw badRequest(`Invalid input for field 'tags': a tag has 1 to ${LONGEST} characters, and neither a comma nor a slash.`)
  return tags.length > 0 ? JSON.stringify(tags) : null
}

/** One after the other, whoever changes them. @throws Fault 400, 403 for a project that is immutable, 404 */
export async function changeTags(
  { database }: IdentityContext,
  projectId: string,
  change: (tags: string[]) => string[],
): Promise<string[]> {
  return await database.transaction(async (trx) => {
    const row = await trx.selectFrom('projects').select(['id', 'tags_json', 'options_json']).where('id', '=', projectId).executeTakeFirst()
    if (!row) throw notFound(`Could not find project: ${projectId}.`)
    refuseImmutable('project', row)
    const tags = change(tagsIn(row))
    const tags_json = tagsOf(tags)
    if (tags_json === row.tags_json) return tags
    const swapped = await trx
      .updateTable('projects')
      .set({ tags_json })
      .where('id', '=', projectId)
      .where('tags_json', row.tags_json === null ? 'is' : '=', row.tags_json)
      .where('options_json', row.options_json === null ? 'is' : '=', row.options_json)
      .executeTakeFirst()
    if (swapped.numUpdatedRows === 0n) throw new Raced()
    return tags
  })
}

/** @throws Fault 404 when it is not there */
export function without(tags: string[], tag: string): string[] {
  if (!tags.includes(tag)) throw notFound(`Could not find project tag: ${tag}.`)
  return tags.filter((one) => one !== tag)
}

export function fitsTags(row: Tagged, filters: TagFilters): boolean {
  const tags = tagsIn(row)
  const asked = (name: keyof TagFilters) => filters[name]?.split(',') ?? null
  const [all, any, notAll, notAny] = [asked('tags'), asked('tags-any'), asked('not-tags'), asked('not-tags-any')]
  const has = (tag: string) => tags.includes(tag)
  return (!all || all.every(has)) && (!any || any.some(has)) && !notAll?.every(has) && !notAny?.some(has)
}
