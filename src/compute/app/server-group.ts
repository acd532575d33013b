import { randomUUID } from 'node:crypto'
import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { Fault, notFound } from '../../kernel/errors/errors.ts'
import type { ServerGroupRow } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'
import { limitsOf, takeTurn } from './quota.ts'

export interface ServerGroup {
  id: string
  project_id: string
  user_id: string
  name: string
  policy: string
  rules: { max_server_per_host?: number }
  /** Ids of its servers that are not deleted. */
  members: string[]
}

/** Taken by who puts one of its servers on a host. */
export const groupTurn = (id: string) => `group:${id}`

export async function createServerGroup(
  context: ComputeContext,
  owner: { projectId: string; userId: string },
  wanted: { name: string; policy: string; rules?: { max_server_per_host?: number } },
): Promise<ServerGroup> {
  const row: ServerGroupRow = {
    id: randomUUID(),
    project_id: owner.projectId,
    user_id: owner.userId,
    name: wanted.name,
    policy: wanted.policy,
    rules_json: toJson(wanted.rules ?? {}),
    created_at: timestamp(),
  }
  await context.database.transaction(async (trx) => {
    await takeTurn(trx, owner.projectId)
    const { server_groups: limit } = await limitsOf(trx, owner.projectId)
    const { n } = await trx
      .selectFrom('server_groups')
      .select((eb) => eb.fn.countAll<number>().as('n'))
      .where('project_id', '=', owner.projectId)
      .executeTakeFirstOrThrow()
    if (limit >= 0 && Number(n) >= limit) throw new Fault(403, 'ServerGroupLimitExceeded', 'Quota exceeded, too many server groups.')
    await trx.insertInto('server_groups').values(row).execute()
  })
  return { ...row, rules: wanted.rules ?? {}, members: [] }
}

export async function listServerGroups(context: ComputeContext, projectId: string | null): Promise<ServerGroup[]> {
  const { db } = context.database
  let query = db.selectFrom('server_groups').selectAll().orderBy('created_at')
  if (projectId !== null) query = query.where('project_id', '=', projectId)
  return await dress(context, await query.execute())
}

export async function findServerGroup(context: ComputeContext, id: string, projectId: string | null): Promise<ServerGroup> {
  const row = await context.database.db.selectFrom('server_groups').selectAll().where('id', '=', id).executeTakeFirst()
  if (!row || (projectId !== null && row.project_id !== projectId))
    throw notFound(`Instance group ${id} could not be found.`, 'InstanceGroupNotFound')
  return (await dress(context, [row]))[0]!
}

export async function deleteServerGroup(context: ComputeContext, id: string): Promise<void> {
  await context.database.transaction(async (trx) => {
    await takeTurn(trx, groupTurn(id))
    await trx.deleteFrom('server_groups').where('id', '=', id).execute()
    await trx.deleteFrom('quota_locks').where('project_id', '=', groupTurn(id)).execute()
  })
}

async function dress(context: ComputeContext, rows: ServerGroupRow[]): Promise<ServerGroup[]> {
  if (rows.length === 0) return []
  const members = await context.database.db
    .selectFrom('instances')
    .select(['id', 'group_id'])
    .where('deleted', '=', 0)
    .where(
      'group_id',
      'in',
      rows.map((row) => row.id),
    )
    .execute()
  return rows.map((row) => ({
    ...row,
    rules: fromJson(row.rules_json),
    members: members.filter((one) => one.group_id === row.id).map((one) => one.id),
  }))
}
