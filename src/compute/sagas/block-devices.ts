import { Fault } from '../../kernel/errors/errors.ts'
import { connect } from '../app/volume-connection.ts'
import { blockDevicesOf } from '../db/instances.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import { type ServerRun, serverOf } from './on-host.ts'

/** Volumes that a server is created with: made where they do not exist, then attached in the volume service's books. */
export async function attachBlockDevices(run: ServerRun): Promise<{ volumes: string[] }> {
  const row = await serverOf(run)
  const devices = await blockDevicesOf(run.world.database.db, [row.id])
  for (const device of devices) {
    if (device.source_type !== 'volume') await makeVolume(run, device, row.project_id)
    await run.world.volumes.createAttachment({ id: device.id, volume_uuid: device.volume_id!, instance_uuid: row.id })
    await connect(run.world, row, device)
    await run.world.volumes.completeAttachment(device.id)
  }
  return { volumes: devices.map((one) => one.volume_id!) }
}

export async function detachBlockDevices(run: ServerRun): Promise<void> {
  const devices = await blockDevicesOf(run.world.database.db, [run.input.serverId])
  for (const device of devices) {
    await run.world.volumes.deleteAttachment(device.id)
    if (device.source_type !== 'volume') await run.world.volumes.deleteVolume(device.volume_id!)
  }
}

/** ms between looks: most volumes are made in less than the last. */
const LOOK_MS = { first: 20, most: 250 }
/** Told twice, the first time has gone on to attach it. */
const MADE = ['available', 'reserved', 'attaching', 'in-use']

async function makeVolume(run: ServerRun, device: BlockDeviceRow, projectId: string): Promise<void> {
  const { volumes } = run.world
  await volumes.createVolume({
    id: device.volume_id!,
    project_id: projectId,
    size: Number(device.size),
    ...(device.volume_type ? { volume_type: device.volume_type } : {}),
    ...(device.source_type === 'image' ? { imageRef: device.source_id! } : {}),
    ...(device.source_type === 'snapshot' ? { snapshot_id: device.source_id! } : {}),
  })
  for (let wait = LOOK_MS.first; ; wait = Math.min(wait * 2, LOOK_MS.most)) {
    const { status } = await volumes.volume(device.volume_id!)
    if (MADE.includes(status)) return
    if (status.startsWith('error'))
      throw new Fault(500, 'BlockDeviceMapping', `Volume ${device.volume_id} did not become available: it is in ${status}.`)
    run.signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, wait))
  }
}
