import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { findFlavor, specOfFlavor } from './flavor.ts'
import { flavorOf } from './instance-spec.ts'
import { reserve } from './quota.ts'

/** @throws Fault 400 for the same flavor or a smaller disk, 403 over quota */
export async function resize(context: ComputeContext, request: RequestContext, row: InstanceRow, flavorRef: string): Promise<void> {
  const flavor = specOfFlavor(
    await findFlavor(context, flavorRef, request.isAdmin ? null : request.projectId).catch((error) => {
      throw error instanceof Fault && error.status === 404 ? badRequest(`Flavor ${flavorRef} could not be found.`, 'FlavorNotFound') : error
    }),
  )
  const now = flavorOf(row)
  if (flavor.id === now.id) throw badRequest('When resizing, instances must change flavor!', 'CannotResizeToSameFlavor')
  if (row.image_id && flavor.rootGiB < now.rootGiB)
    throw badRequest(`Flavor's disk is smaller than the disk of the server: ${flavor.rootGiB} GiB, not ${now.rootGiB}.`, 'CannotResizeDisk')
  await operate(context, request, row, {
    action: 'resize',
    saga: 'resize-server',
    vmStates: ['active', 'stopped'],
    taskState: 'resize_prep',
    input: { flavor },
    columns: { vcpus: Math.max(now.vcpus, flavor.vcpus), ram: Math.max(now.ramMiB, flavor.ramMiB) },
    also: async (trx) => {
      await reserve(trx, row.project_id, { instances: 0, cores: 0, ram: 0 }).then(({ limits, used }) => {
        if ((limits.cores >= 0 && used.cores > limits.cores) || (limits.ram >= 0 && used.ram > limits.ram))
          throw new Fault(
            403,
            'TooManyInstances',
            `Quota exceeded for cores, ram: flavor ${flavor.name} would make ${used.cores} of ${limits.cores} cores and ${used.ram} of ${limits.ram} MiB.`,
          )
      })
    },
  })
}

export async function confirmResize(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  mustBeResized(row, 'confirmResize')
  await operate(context, request, row, {
    action: 'confirmResize',
    saga: 'confirm-resize',
    vmStates: ['resized'],
    taskState: 'resize_confirming',
  })
}

export async function revertResize(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  mustBeResized(row, 'revertResize')
  await operate(context, request, row, {
    action: 'revertResize',
    saga: 'revert-resize',
    vmStates: ['resized'],
    taskState: 'resize_reverting',
  })
}

function mustBeResized(row: InstanceRow, action: string): void {
  if (row.vm_state !== 'resized')
    throw conflict(`Cannot '${action}' instance ${row.id} while it is in vm_state ${row.vm_state}`, 'InstanceInvalidState')
}
