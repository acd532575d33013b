import { randomUUID } from 'node:crypto'
import { timestamp, toJson } from '../../kernel/db/columns.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { rowsWhere, updateRow } from '../db/rows.ts'
import type { StandardRow } from '../db/tables.ts'
import { mutate, type NetworkContext } from './context.ts'
import { missing, type Noun } from './noun.ts'

/** What every new row begins with. */
export function standard(
  asked: { id?: string; name?: string | null; description?: string | null; tags?: string[] },
  projectId: string,
): StandardRow {
  const at = timestamp()
  return {
    id: asked.id ?? randomUUID(),
    project_id: projectId,
    name: asked.name ?? '',
    description: asked.description ?? '',
    tags: toJson([...new Set(asked.tags ?? [])].sort()),
    revision: 0,
    created_at: at,
    updated_at: at,
  }
}

/** The columns that name and description of a change fill. */
export const named = (asked: { name?: string | null; description?: string | null }): Partial<StandardRow> => ({
  ...(asked.name !== undefined ? { name: asked.name ?? '' } : {}),
  ...(asked.description !== undefined ? { description: asked.description ?? '' } : {}),
})

/** Columns of flags, where `asked` has them: `{ admin_state_up: true }` → 1. */
export function flags<T extends string>(asked: Record<string, any>, map: Record<string, T>): Partial<Record<T, number>> {
  const columns: Partial<Record<T, number>> = {}
  for (const [attribute, column] of Object.entries(map)) if (asked[attribute] !== undefined) columns[column] = Number(asked[attribute])
  return columns
}

/** @throws Fault 400, 404 */
export async function setTags(context: NetworkContext, noun: Noun, id: string, change: (tags: string[]) => string[]): Promise<string[]> {
  return await mutate(context, [`tags:${id}`], async ({ trx }) => {
    const [row] = await rowsWhere(trx, noun.table, 'id' as never, [id])
    if (!row) throw missing(noun, id)
    const before: string[] = JSON.parse((row as StandardRow).tags)
    const tags = [...new Set(change(before))].sort()
    if (tags.length > 50) throw badRequest('A resource has at most 50 tags.', 'InvalidInput')
    for (const tag of tags) if (tag.length === 0 || tag.length > 255) throw badRequest('A tag has 1 to 255 characters.', 'InvalidInput')
    await updateRow(trx, noun.table, id, { tags: toJson(tags) } as never)
    return tags
  })
}
