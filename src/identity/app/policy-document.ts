import { notFound } from '../../kernel/errors/errors.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { IdentityContext } from './context.ts'
import { newId } from './unique.ts'

type Row = IdentityTables['policies']

export async function createPolicy(context: IdentityContext, { type, blob }: Omit<Row, 'id'>): Promise<Row> {
  const row = { id: newId(), type, blob }
  await context.database.db.insertInto('policies').values(row).execute()
  return row
}

/** @throws Fault 404 */
export async function findPolicy(context: IdentityContext, id: string): Promise<Row> {
  const row = await context.database.db.selectFrom('policies').selectAll().where('id', '=', id).executeTakeFirst()
  if (!row) throw notFound(`Could not find policy: ${id}.`)
  return row
}

export async function listPolicies(context: IdentityContext, type?: string): Promise<Row[]> {
  const query = context.database.db.selectFrom('policies').selectAll().orderBy('id')
  return await (type === undefined ? query : query.where('type', '=', type)).execute()
}

/** @throws Fault 404 */
export async function updatePolicy(context: IdentityContext, id: string, asked: Partial<Omit<Row, 'id'>>): Promise<Row> {
  const before = await findPolicy(context, id)
  const after = { ...before, type: asked.type ?? before.type, blob: asked.blob ?? before.blob }
  await context.database.db.updateTable('policies').set(after).where('id', '=', id).execute()
  return after
}

/** @throws Fault 404 */
export async function deletePolicy(context: IdentityContext, id: string): Promise<void> {
  await findPolicy(context, id)
  await context.database.db.deleteFrom('policies').where('id', '=', id).execute()
}
