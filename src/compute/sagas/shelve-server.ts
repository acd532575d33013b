import { randomUUID } from 'node:crypto'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { showBytes } from '../../kernel/units/units.ts'
import { requestOf, vifsOf } from '../app/instance-spec.ts'
import { move } from '../app/server-state.ts'
import { blockDevicesOf, findInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import { host } from '../rpc.ts'
import * as build from './build.ts'
import { clearHost } from './clear-host.ts'
import { ask, changeRequest, LONG, type ServerRun, serverOf, undoOnItsHost, uuid } from './on-host.ts'
import { asItWas, giveBack, onlyIf, powerOff, settle, startAgain, wasRunning } from './operation.ts'

/** `imageId`: of the record that was made with the request; null for a server that boots from a volume, which keeps its data by itself. */
type Shelving = ServerRun<{ imageId: string | null }>

/** Off, and a picture of its disk kept by the image service. The host is left by {@link offloadServer}, which comes next. */
export const shelveServer = saga<Shelving>(
  'shelve-server',
  [
    step(null, 'image-record', at.control, () => {}, removeRecord), // made with the request
    step(null, 'was-running', at.host, wasRunning, null), // only reads
    step(null, 'power-off', at.host, powerOff, startAgain),
    step(null, 'take-picture', at.host, takePicture, discardPicture, {
      ...build.task('shelving_image_uploading'),
      evidence: (out) =>
        out ? { text: `${showBytes(out.bytes)} uploaded`, ...out } : { text: 'boots from a volume: there is nothing to keep' },
    }),
    step(null, 'shelved', at.control, shelved, asItWas),
  ],
  { failed: giveBack },
)

/** Nothing of a shelved server stays on its host, which has its place free. Only forward: whatever stops it, it is begun again (shelveOffload). */
export const offloadServer = saga<ServerRun>(
  'offload-server',
  [
    ...[
      step<ServerRun>(null, 'attachment-ids', at.control, newAttachmentIds, null, build.task('shelving_offloading')),
      ...clearHost,
      step<ServerRun>(null, 'keep-volumes', at.control, reserveVolumes, null),
      step<ServerRun>(null, 'unbind-ports', at.control, unbindPorts, null),
      step<ServerRun>(null, 'release-allocation', at.control, (run) => run.world.placement.release(run.input.serverId), null),
    ].map(onlyIf(isShelved)),
    step(null, 'offloaded', at.control, offloaded, null),
  ],
  { failed: giveBack },
)

/** A server that could not be shelved, or whose host was left already, is passed over. */
async function isShelved(run: ServerRun): Promise<boolean> {
  return (await findInstance(run.world.database.db, run.input.serverId))?.vm_state === 'shelved'
}

async function removeRecord(run: Shelving): Promise<void> {
  if (run.input.imageId) await run.world.images.remove(run.input.imageId)
}

async function takePicture(run: Shelving) {
  const { imageId } = run.input
  const row = await serverOf(run)
  return imageId ? await ask(run, row.host!, host.snapshot, { uuid: row.id, imageId, running: false }, LONG) : null
}

async function discardPicture(run: Shelving): Promise<void> {
  const { imageId } = run.input
  if (imageId) await undoOnItsHost(host.discardSnapshot, (of) => ({ ...uuid(of), imageId }))(run)
}

async function shelved(run: Shelving): Promise<void> {
  await changeRequest(run, () => ({ shelvedImageId: run.input.imageId }))
  await settle({ vmState: 'shelved', taskState: 'shelving_offloading', powerState: 'shutdown' })(run) // nobody else's before it has left its host
}

/** Device → the attachment that keeps the volume for the server while it is on no host. */
export async function newAttachmentIds(run: ServerRun): Promise<Record<string, string>> {
  const devices = await blockDevicesOf(run.world.database.db, [run.input.serverId])
  return Object.fromEntries(devices.map(({ id }) => [id, randomUUID()]))
}

/** The volumes stay the server's, and are exported to no host any more. */
export async function reserveVolumes(run: ServerRun): Promise<void> {
  const { database, volumes } = run.world
  const ids: Record<string, string> = run.outputs['attachment-ids'] ?? {}
  for (const device of await blockDevicesOf(database.db, [run.input.serverId])) {
    const [before, after] = Object.entries(ids).find((pair) => pair.includes(device.id)) ?? []
    if (!before || !after) continue
    await volumes.createAttachment({ id: after, volume_uuid: device.volume_id!, instance_uuid: run.input.serverId })
    await database.db.updateTable('block_devices').set({ id: after }).where('id', '=', before).execute()
    await volumes.deleteAttachment(before)
  }
}

export async function unbindPorts(run: ServerRun): Promise<void> {
  for (const { portId } of vifsOf(await serverOf(run))) await run.world.networks.updatePort(portId, { 'binding:host_id': '' })
}

async function offloaded(run: ServerRun): Promise<void> {
  const { db } = run.world.database
  if ((await serverOf(run)).vm_state !== 'shelved') return
  const nowhere = { host: null, node: null, zone: null }
  await move(db, run.input.serverId, { vmState: 'shelved_offloaded', taskState: null, powerState: 'nostate' }, nowhere)
}

/** What was kept of its disk, when the server has it again or is gone. */
export async function removeShelvedImage(run: ServerRun, row: InstanceRow): Promise<void> {
  const { shelvedImageId } = requestOf(row)
  if (!shelvedImageId) return
  await run.world.images.remove(shelvedImageId)
  await changeRequest(run, () => ({ shelvedImageId: null }))
}
