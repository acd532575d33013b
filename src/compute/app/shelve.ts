import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { imageSpec } from './image-spec.ts'
import { requestOf } from './instance-spec.ts'
import { withPicture } from './snapshot.ts'
import { placeFor } from './zone.ts'

/** Its disk is kept as an image of its owner, its host is left at once. @throws Fault 409 for a state in the way */
export async function shelve(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  const begin = async (imageId: string | null) =>
    void (await operate(context, request, row, {
      action: 'shelve',
      saga: 'shelve-server',
      vmStates: ['active', 'stopped', 'paused', 'suspended'],
      taskState: 'shelving',
      input: { imageId },
      followedBy: 'offload-server',
    }))
  if (!requestOf(row).image) return await begin(null)
  await withPicture(context, request, row, { name: `${row.name}-shelved`, metadata: {} }, begin)
}

/** For one that could not leave its host when it was shelved. */
export async function offload(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  await operate(context, request, row, {
    action: 'shelveOffload',
    saga: 'offload-server',
    vmStates: ['shelved'],
    taskState: 'shelving_offloading',
  })
}

export interface Unshelve {
  zone?: string | null
  host?: string | null
}

/** @throws Fault 400 when what was kept of it is gone, or for a zone or host that there is not; 409 for a state in the way */
export async function unshelve(context: ComputeContext, request: RequestContext, row: InstanceRow, wanted: Unshelve): Promise<void> {
  const { zone, host } = wanted
  const named = (zone ?? host ?? null) !== null
  if (row.vm_state === 'shelved') {
    if (named) throw conflict(`Cannot choose a place for instance ${row.id}: it has not left its host yet.`, 'UnshelveInstanceInvalidState')
    await operate(context, request, row, { action: 'unshelve', saga: 'unshelve-in-place', vmStates: ['shelved'], taskState: 'unshelving' })
    return
  }
  if (row.vm_state !== 'shelved_offloaded')
    throw conflict(`Cannot 'unshelve' instance ${row.id} while it is in vm_state ${row.vm_state}`, 'InstanceInvalidState')
  if (named) await placeFor(context, { zone: zone ?? null, host: host ?? null, node: null })
  const { image, shelvedImageId } = requestOf(row)
  if (image && !shelvedImageId) throw badRequest(`Nothing was kept of the disk of instance ${row.id}.`, 'UnshelveException')
  await operate(context, request, row, {
    action: 'unshelve',
    saga: 'unshelve-server',
    vmStates: ['shelved_offloaded'],
    taskState: 'unshelving',
    anywhere: true,
    input: { image: shelvedImageId ? await imageSpec(context, request, shelvedImageId) : null, zone: zone ?? null, target: host ?? null },
  })
}
