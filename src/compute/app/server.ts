import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { Fault, notFound } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { findInstance, replaceJson, updateInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { limitsOf } from './quota.ts'
import type { Viewer } from './server-list.ts'
import { DELETING, mustBeIn } from './server-state.ts'

/** `deleted`: also one that is gone. @throws Fault 404 for one that does not exist, is deleted, or is another project's */
export async function findServer(context: ComputeContext, id: string, viewer: Viewer, { deleted = false } = {}): Promise<InstanceRow> {
  const row = await findInstance(context.database.db, id)
  if (!row || (row.deleted && !deleted) || (!viewer.isAdmin && row.project_id !== viewer.projectId))
    throw notFound(`Instance ${id} could not be found.`, 'InstanceNotFound')
  return row
}

export interface ServerChange {
  name?: string
  description?: string | null
  hostname?: string
  accessIPv4?: string | null
  accessIPv6?: string | null
  autoDiskConfig?: boolean | null
}

export async function updateServer(context: ComputeContext, row: InstanceRow, change: ServerChange): Promise<InstanceRow> {
  await updateInstance(context.database.db, row.id, {
    ...(change.name !== undefined ? { name: change.name } : {}),
    ...(change.description !== undefined ? { description: change.description } : {}),
    ...(change.hostname !== undefined ? { hostname: change.hostname } : {}),
    ...(change.autoDiskConfig != null ? { auto_disk_config: change.autoDiskConfig ? 1 : 0 } : {}),
    ...(change.accessIPv4 !== undefined ? { access_ipv4: change.accessIPv4 } : {}),
    ...(change.accessIPv6 !== undefined ? { access_ipv6: change.accessIPv6 } : {}),
  })
  return (await findInstance(context.database.db, row.id))!
}

/** Whatever is under way stops and unwinds first, also what began after the row was looked at; asking twice is fine. */
export async function deleteServer(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  if (row.task_state === DELETING) return
  try {
    await operate(context, request, row, {
      action: 'delete',
      saga: 'delete-server',
      taskStates: 'any other',
      taskState: DELETING,
      anywhere: true,
      interrupt: `server ${row.id} is being deleted`,
    })
  } catch (error) {
    if (!(error instanceof Fault && error.code === 'InstanceInvalidState')) throw error // somebody else came first
  }
}

/** As Nova with reclaim_instance_interval 0: a server that is deleted is gone, so there is never one to restore. @throws Fault 409 */
export function mustBeSoftDeleted(row: InstanceRow): void {
  mustBeIn(['soft-delete'], row, 'restore')
}

/** @throws Fault 403 over quota, 404 for a key to be changed that is not there */
export async function changeMetadata(
  context: ComputeContext,
  row: InstanceRow,
  change: (now: Record<string, string>) => Record<string, string>,
) {
  return await context.database.transaction(async (trx) => {
    const fresh = (await findInstance(trx, row.id))!
    const after = change(fromJson(fresh.metadata_json))
    const { metadata_items: limit } = await limitsOf(trx, row.project_id)
    if (limit >= 0 && Object.keys(after).length > limit)
      throw new Fault(403, 'MetadataLimitExceeded', `Maximum number of metadata items exceeds ${limit}`)
    await replaceJson(trx, fresh, 'metadata_json', toJson(after))
    return after
  })
}

const MAX_TAGS = 50

export async function changeTags(context: ComputeContext, row: InstanceRow, change: (now: string[]) => string[]): Promise<string[]> {
  return await context.database.transaction(async (trx) => {
    const fresh = (await findInstance(trx, row.id))!
    const after = [...new Set(change(fromJson(fresh.tags_json)))]
    if (after.length > MAX_TAGS) throw new Fault(400, 'TooManyTags', `The number of tags exceeded the per-server limit ${MAX_TAGS}`)
    await replaceJson(trx, fresh, 'tags_json', toJson(after))
    return after
  })
}

export async function lockServer(context: ComputeContext, row: InstanceRow, reason: string | null): Promise<void> {
  await updateInstance(context.database.db, row.id, { locked: 1, locked_reason: reason })
}

export async function unlockServer(context: ComputeContext, row: InstanceRow): Promise<void> {
  await updateInstance(context.database.db, row.id, { locked: 0, locked_reason: null })
}

/** What the image of a server's snapshot is told about where it comes from. */
export const snapshotProperties = (row: InstanceRow) => ({
  image_type: 'snapshot',
  instance_uuid: row.id,
  user_id: row.user_id,
  image_location: 'snapshot',
  image_state: 'available',
  owner_id: row.project_id,
  ...(row.image_id ? { base_image_ref: row.image_id } : {}),
  snapshot_at: timestamp(),
})
