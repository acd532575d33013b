import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { blockDevicesOf } from '../db/instances.ts'
import type { BlockDeviceRow, InstanceRow, VmState } from '../db/tables.ts'
import { recordAction } from './action.ts'
import type { ComputeContext } from './context.ts'
import { requestOf } from './instance-spec.ts'
import { hostOf, mustBeIn, mustRestIn } from './server-state.ts'
import { nextDevice } from './volume-connection.ts'

/** In which a server's ports may change: not while two hosts have them. */
export const PORTS_MAY_CHANGE: VmState[] = ['active', 'paused', 'stopped']
/** Volumes also of a server that is put away: it finds them when it comes back. */
export const VOLUMES_MAY_CHANGE: VmState[] = [...PORTS_MAY_CHANGE, 'resized', 'soft-delete', 'shelved', 'shelved_offloaded']

/** ms that a request waits for what failed to be taken back. */
const UNWINDING_MS = 5_000

/** @throws Fault 409 when the server is locked, in another state, taken by another operation or on no host */
export function mayChange(request: RequestContext, row: InstanceRow, action: string, vmStates: VmState[]): void {
  if (row.locked && !request.isAdmin) throw conflict(`Instance ${row.id} is locked`, 'InstanceIsLocked')
  mustBeIn(vmStates, row, action)
  if (row.task_state !== null)
    throw conflict(`Cannot '${action}' instance ${row.id} while it is in task_state ${row.task_state}`, 'InstanceInvalidState')
  if (row.vm_state !== 'shelved_offloaded') hostOf(row)
}

/** Reserves a device name and begins the attach-volume saga. @throws Fault 400 for a volume that cannot be had, 404, 409 */
export async function attachVolume(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  wanted: { volumeId: string; device: string | null; tag: string | null; deleteOnTermination: boolean; sharedToo: boolean },
): Promise<BlockDeviceRow> {
  mayChange(request, row, 'attach_volume', VOLUMES_MAY_CHANGE)
  const volume = await context.volumes.volume(wanted.volumeId, { token: request.token, requestId: request.requestId })
  if (volume.multiattach && !wanted.sharedToo)
    throw badRequest(`Volume ${volume.id} is one that several servers may have: that needs microversion 2.60.`, 'MultiattachNotSupported')
  if (volume.status !== 'available' && !volume.multiattach)
    throw badRequest(`Invalid volume: Volume ${volume.id} status must be available to attach, but it is ${volume.status}.`, 'InvalidVolume')
  const device = await context.database.transaction(async (trx) => {
    await mustRestIn(trx, row, { name: 'attach_volume', vmStates: VOLUMES_MAY_CHANGE })
    const devices = await blockDevicesOf(trx, [row.id])
    if (devices.some((one) => one.volume_id === volume.id))
      throw badRequest(`Invalid volume: volume ${volume.id} already attached`, 'InvalidVolume')
    const taken = devices.map((one) => one.device)
    if (requestOf(row).image) taken.push('/dev/vda')
    const wish = wanted.device ? `/dev/${wanted.device.replace('/dev/', '')}` : null
    const name = wish && /^\/dev\/vd[b-z]$/.test(wish) && !taken.includes(wish) ? wish : nextDevice(taken)
    if (!name)
      throw new Fault(
        403,
        'TooManyDiskDevices',
        'The maximum allowed number of disk devices (26) to attach to a single instance has been exceeded.',
      )
    if (wish && taken.includes(wish)) throw conflict(`The supplied device path (${wish}) is in use.`, 'DevicePathInUse')
    const made: BlockDeviceRow = {
      id: randomUUID(),
      server_id: row.id,
      volume_id: volume.id,
      device: name,
      boot_index: null,
      delete_on_termination: wanted.deleteOnTermination ? 1 : 0,
      tag: wanted.tag,
      volume_type: null,
      source_type: 'volume',
      source_id: null,
      size: volume.size,
      created_at: timestamp(),
    }
    await trx.insertInto('block_devices').values(made).execute()
    await recordAction(trx, request, row.id, 'attach_volume')
    await context.engine.submit(trx, {
      kind: 'attach-volume',
      subject: `server:${row.id}`,
      requestId: request.requestId,
      input: { serverId: row.id, attachmentId: made.id, volumeId: volume.id },
    })
    return made
  })
  context.engine.wake(`server:${row.id}`)
  return device
}

export async function findAttachment(context: ComputeContext, row: InstanceRow, volumeId: string): Promise<BlockDeviceRow> {
  const device = (await blockDevicesOf(context.database.db, [row.id])).find((one) => one.volume_id === volumeId)
  if (!device) throw notFound(`volume_id not found: ${volumeId}`, 'DiskNotFound')
  return device
}

export async function keepOnTermination(context: ComputeContext, device: BlockDeviceRow, keep: boolean): Promise<void> {
  const columns = { delete_on_termination: keep ? 0 : 1 }
  await context.database.db.updateTable('block_devices').set(columns).where('id', '=', device.id).execute()
}

export async function detachVolume(context: ComputeContext, request: RequestContext, row: InstanceRow, volumeId: string): Promise<void> {
  mayChange(request, row, 'detach_volume', VOLUMES_MAY_CHANGE)
  const device = await findAttachment(context, row, volumeId)
  if (Number(device.boot_index) === 0 && device.boot_index !== null)
    throw new Fault(403, 'RootVolume', `Cannot detach the root device volume ${volumeId}.`)
  await begin(context, request, row, { name: 'detach_volume', vmStates: VOLUMES_MAY_CHANGE }, 'detach-volume', {
    attachmentId: device.id,
    volumeId,
  })
}

/** Makes or takes a port and plugs it; resolves when the guest has it. @throws what the saga failed with, also when a host that is silent lets it take nothing back yet */
export async function attachInterface(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  wanted: { portId: string; networkId: string | null; fixedIp: string | null; given: boolean; tag: string | null },
): Promise<void> {
  mayChange(request, row, 'attach_interface', PORTS_MAY_CHANGE)
  const id = await begin(context, request, row, { name: 'attach_interface', vmStates: PORTS_MAY_CHANGE }, 'attach-interface', { wanted })
  const { error } = await context.engine.finished(id, { unwindingMs: UNWINDING_MS })
  if (error) throw error
}

export async function detachInterface(context: ComputeContext, request: RequestContext, row: InstanceRow, portId: string): Promise<void> {
  mayChange(request, row, 'detach_interface', PORTS_MAY_CHANGE)
  await begin(context, request, row, { name: 'detach_interface', vmStates: PORTS_MAY_CHANGE }, 'detach-interface', { portId })
}

export async function begin(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  action: { name: string; vmStates: VmState[] },
  kind: string,
  input: object,
): Promise<string> {
  const subject = `server:${row.id}`
  const id = await context.database.transaction(async (trx) => {
    await mustRestIn(trx, row, action)
    await recordAction(trx, request, row.id, action.name)
    return await context.engine.submit(trx, { kind, subject, requestId: request.requestId, input: { serverId: row.id, ...input } })
  })
  context.engine.wake(subject)
  return id
}
