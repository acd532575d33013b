import { randomUUID } from 'node:crypto'
import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import type { FlavorSpec } from '../rpc.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { autoDiskConfig } from './disk-config.ts'
import { findFlavor, specOfFlavor } from './flavor.ts'
import { flavorOf, requestOf } from './instance-spec.ts'
import { changeMigration, recordMigration, unconfirmed } from './migration.ts'
import { reserve } from './quota.ts'
import type { Round } from './scheduler/filters.ts'
import { requestSpecOf, resourcesOf } from './scheduler/request-spec.ts'
import { SCHEDULER, scheduler } from './scheduler/scheduler.ts'
import { hostOf } from './server-state.ts'

/** @throws Fault 400 for the same flavor or a smaller disk, 403 over quota */
export async function resize(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  flavorRef: string,
  wanted: { autoDiskConfig: boolean | null },
): Promise<void> {
  const flavor = specOfFlavor(
    await findFlavor(context, flavorRef, request.isAdmin ? null : request.projectId).catch((error) => {
      throw error instanceof Fault && error.status === 404 ? badRequest(`Flavor ${flavorRef} could not be found.`, 'FlavorNotFound') : error
    }),
  )
  const now = flavorOf(row)
  if (flavor.id === now.id) throw badRequest('When resizing, instances must change flavor!', 'CannotResizeToSameFlavor')
  if (row.image_id && flavor.rootGiB < now.rootGiB)
    throw badRequest(`Flavor's disk is smaller than the disk of the server: ${flavor.rootGiB} GiB, not ${now.rootGiB}.`, 'CannotResizeDisk')
  const auto = autoDiskConfig(requestOf(row).image, wanted.autoDiskConfig ?? false)
  const stays = await fitsWhereItIs(context, row, flavor)
  const migrationId = randomUUID()
  await operate(context, request, row, {
    action: 'resize',
    saga: stays ? 'resize-server' : 'migrate-server',
    vmStates: ['active', 'stopped'],
    taskState: 'resize_prep',
    input: stays ? { flavor, migrationId } : { flavor, migrationId, target: null },
    columns: { auto_disk_config: auto, vcpus: Math.max(now.vcpus, flavor.vcpus), ram: Math.max(now.ramMiB, flavor.ramMiB) },
    also: async (trx) => {
      await recordMigration(trx, request, row, { id: migrationId, type: 'resize', newFlavorId: flavor.id })
      if (stays) await changeMigration(trx, migrationId, { dest_host: row.host, dest_node: row.node })
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

/** A server changes its host only when it must: where it is there is no room for more, or what the flavor asks for is not there. */
async function fitsWhereItIs(context: ComputeContext, row: InstanceRow, flavor: FlavorSpec): Promise<boolean> {
  const here = { hints: {}, zone: null, forcedHost: hostOf(row), forcedNode: null, ignoreHosts: [] }
  const wanted = await requestSpecOf(context, row, flavor, here)
  const held = resourcesOf(flavorOf(row), wanted.volumeBacked)
  const more = Object.entries(wanted.resources).flatMap(([name, amount]) => {
    const beyond = amount - (held[name] ?? 0)
    return beyond > 0 ? [[name, beyond]] : []
  })
  const spec = { ...wanted, resources: more.length > 0 ? Object.fromEntries(more) : wanted.resources }
  await context.bus.call(SCHEDULER, scheduler.hostStates, { spec })
  try {
    await context.bus.call(SCHEDULER, scheduler.filter, { spec })
    return true
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'NoValidHost') throw error
    const { rounds } = error.details as { rounds: Round[] }
    return more.length === 0 && rounds.at(-1)?.filter === 'Placement' // it has the room that it needs
  }
}

export async function confirmResize(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  await endResize(context, request, row, { action: 'confirmResize', word: 'confirm', taskState: 'resize_confirming', status: 'confirming' })
}

export async function revertResize(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  await endResize(context, request, row, { action: 'revertResize', word: 'revert', taskState: 'resize_reverting', status: 'reverting' })
}

/** Where it is, or with the host that it left. */
async function endResize(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  { action, word, taskState, status }: { action: string; word: string; taskState: string; status: string },
): Promise<void> {
  mustBeResized(row, action)
  const migration = await unconfirmed(context.database.db, row.id)
  const moved = migration !== undefined && migration.source_host !== migration.dest_host
  await operate(context, request, row, {
    action,
    saga: moved ? `${word}-migration` : `${word}-resize`,
    vmStates: ['resized'],
    taskState,
    input: migration ? { migrationId: migration.id } : {},
    also: async (trx) => {
      if (migration) await changeMigration(trx, migration.id, { status })
    },
  })
}

function mustBeResized(row: InstanceRow, action: string): void {
  if (row.vm_state !== 'resized')
    throw conflict(`Cannot '${action}' instance ${row.id} while it is in vm_state ${row.vm_state}`, 'InstanceInvalidState')
}
