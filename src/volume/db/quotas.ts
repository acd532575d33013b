import type { Handle } from './handle.ts'

/** Makes the row that {@link takeLock} locks; outside of the transaction that takes it. */
export async function ensureLock(db: Handle, projectId: string): Promise<void> {
  const found = () => db.selectFrom('quota_locks').select('generation').where('project_id', '=', projectId).executeTakeFirst()
  if (await found()) return
  try {
    await db.insertInto('quota_locks').values({ project_id: projectId, generation: 0 }).execute()
  } catch (error) {
    if (!(await found())) throw error
  }
}

/** Holds the project's row until the transaction ends; the first thing in it, so that what is read afterwards is what is. */
export async function takeLock(db: Handle, projectId: string): Promise<void> {
  await db
    .updateTable('quota_locks')
    .set((eb) => ({ generation: eb('generation', '+', 1) }))
    .where('project_id', '=', projectId)
    .execute()
}

export const quotaRows = (db: Handle, owners: string[]) => db.selectFrom('quotas').selectAll().where('owner', 'in', owners).execute()

export async function setQuotaRows(db: Handle, owner: string, limits: Record<string, number>): Promise<void> {
  const resources = Object.keys(limits)
  if (resources.length === 0) return
  await db.deleteFrom('quotas').where('owner', '=', owner).where('resource', 'in', resources).execute()
  await db
    .insertInto('quotas')
    .values(resources.map((resource) => ({ owner, resource, hard_limit: limits[resource]! })))
    .execute()
}

export async function deleteQuotaRows(db: Handle, owner: string): Promise<void> {
  await db.deleteFrom('quotas').where('owner', '=', owner).execute()
}

/** What is in use by type name, counted. */
export async function usageRows(db: Handle, projectId: string) {
  const volumes = await db
    .selectFrom('volumes as v')
    .innerJoin('types as t', 't.id', 'v.type_id')
    .select((eb) => ['t.name', eb.fn.countAll<number>().as('count'), eb.fn.sum<number>('v.reserved_size').as('size')])
    .where('v.project_id', '=', projectId)
    .groupBy('t.name')
    .execute()
  const snapshots = await db
    .selectFrom('snapshots as s')
    .innerJoin('volumes as v', 'v.id', 's.volume_id')
    .innerJoin('types as t', 't.id', 'v.type_id')
    .select((eb) => ['t.name', eb.fn.countAll<number>().as('count'), eb.fn.sum<number>('s.size').as('size')])
    .where('s.project_id', '=', projectId)
    .groupBy('t.name')
    .execute()
  const numbers = (row: { name: string; count: number; size: number }) => ({
    type: row.name,
    count: Number(row.count),
    size: Number(row.size),
  })
  return { volumes: volumes.map(numbers), snapshots: snapshots.map(numbers) }
}
