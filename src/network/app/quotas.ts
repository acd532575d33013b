import { conflict, notFound } from '../../kernel/errors/errors.ts'
import { countRows, type ResourceTable, rowsWhere } from '../db/rows.ts'
import { mutate, type NetworkContext, type Work } from './context.ts'

/** Resources with a limit for each project: their tables and what is allowed unless told otherwise; -1 is without end. */
const LIMITED: Record<string, { table: ResourceTable | null; amount: number }> = {
  network: { table: 'networks', amount: 10 },
  subnet: { table: 'subnets', amount: 10 },
  port: { table: 'ports', amount: 50 },
  router: { table: 'routers', amount: 10 },
  floatingip: { table: 'floatingips', amount: 50 },
  security_group: { table: 'security_groups', amount: 10 },
  security_group_rule: { table: 'security_group_rules', amount: 100 },
  rbac_policy: { table: null, amount: 10 },
  subnetpool: { table: 'subnetpools', amount: -1 },
}
export type Limited = 'network' | 'subnet' | 'port' | 'router' | 'floatingip' | 'security_group' | 'security_group_rule' | 'subnetpool'

export const QUOTA_RESOURCES = Object.keys(LIMITED)
export const defaultQuota = (): Record<string, number> =>
  Object.fromEntries(Object.entries(LIMITED).map(([name, { amount }]) => [name, amount]))

/** The lock that a transaction takes which adds `resource` to a project. */
export const quotaLock = (resource: Limited, projectId: string) => `quota:${resource}:${projectId}`

/** `owners`: the project of each new one. Call it behind {@link quotaLock}. @throws Fault 409 OverQuota */
export async function checkQuota({ trx }: Work, resource: Limited, owners: string[]): Promise<void> {
  const { table, amount } = LIMITED[resource]!
  const wanted = Map.groupBy(
    owners.filter((projectId) => projectId !== ''),
    (projectId) => projectId,
  )
  const own = (await rowsWhere(trx, 'quotas', 'project_id', [...wanted.keys()])).filter((row) => row.resource === resource)
  const limits = new Map(own.map((row) => [row.project_id, row.amount]))
  const limitOf = (projectId: string) => limits.get(projectId) ?? amount
  const limited = [...wanted.keys()].filter((projectId) => limitOf(projectId) >= 0)
  const counts = await countRows(trx, table!, limited)
  for (const projectId of limited) {
    const [limit, used, requested] = [limitOf(projectId), counts.get(projectId) ?? 0, wanted.get(projectId)!.length]
    if (used + requested > limit)
      throw conflict(`Quota exceeded for resources: ['${resource}'].`, 'OverQuota', { resource, limit, used, requested })
  }
}

export async function quotaOf({ database }: NetworkContext, projectId: string): Promise<Record<string, number>> {
  const own = await database.db.selectFrom('quotas').selectAll().where('project_id', '=', projectId).execute()
  return { ...defaultQuota(), ...Object.fromEntries(own.map((row) => [row.resource, row.amount])) }
}

export async function quotaDetails(context: NetworkContext, projectId: string) {
  const limits = await quotaOf(context, projectId)
  const used = async (table: ResourceTable) => (await countRows(context.database.db, table, [projectId])).get(projectId) ?? 0
  const details: Record<string, { used: number; limit: number; reserved: number }> = {}
  for (const [name, { table }] of Object.entries(LIMITED))
    details[name] = { used: table ? await used(table) : 0, limit: limits[name]!, reserved: 0 }
  return details
}

/** Projects whose quota was changed. */
export async function changedQuotas({ database }: NetworkContext) {
  const rows = await database.db.selectFrom('quotas').selectAll().orderBy('project_id').execute()
  return [...Map.groupBy(rows, (row) => row.project_id)].map(([project_id, own]) => ({
    project_id,
    tenant_id: project_id,
    ...defaultQuota(),
    ...Object.fromEntries(own.map((row) => [row.resource, row.amount])),
  }))
}

export async function setQuota(context: NetworkContext, projectId: string, amounts: Record<string, number>): Promise<void> {
  await mutate(context, [`quotas:${projectId}`], async ({ trx }) => {
    const rows = Object.entries(amounts).map(([resource, amount]) => ({ project_id: projectId, resource, amount }))
    if (rows.length === 0) return
    const resources = Object.keys(amounts)
    await trx.deleteFrom('quotas').where('project_id', '=', projectId).where('resource', 'in', resources).execute()
    await trx.insertInto('quotas').values(rows).execute()
  })
}

/** @throws Fault 404 when nothing was changed for this project */
export async function resetQuota({ database }: NetworkContext, projectId: string): Promise<void> {
  const gone = await database.db.deleteFrom('quotas').where('project_id', '=', projectId).executeTakeFirst()
  if (gone.numDeletedRows === 0n) throw notFound(`Quota for tenant ${projectId} could not be found.`, 'TenantQuotaNotFound')
}
