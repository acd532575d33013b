import { Fault, unavailable } from '../../kernel/errors/errors.ts'
import { blockDevicesOf } from '../db/instances.ts'
import type { BlockDeviceRow, InstanceRow } from '../db/tables.ts'
import type { VolumeConnection } from '../rpc.ts'
import type { ComputeContext } from './context.ts'
import { stateOf } from './scheduler/host-states.ts'

/** Exports the volume to the server's host (step 46 happens there) and answers how it is reached. May be repeated. */
export async function connect(context: ComputeContext, row: InstanceRow, device: BlockDeviceRow): Promise<VolumeConnection> {
  const attachment = await context.volumes.updateAttachment(device.id, {
    host: row.host!,
    ip: await addressOf(context, row.host!),
    initiator: `iqn.2026-11.cloud.yun:${row.host}`,
    platform: 'x86_64',
    os_type: 'linux',
    multipath: false,
    mountpoint: device.device,
  })
  const info = attachment.connection_info as Record<string, any> | null
  const data = info?.data ?? info
  if (!data?.target_iqn)
    throw unavailable(`volume ${device.volume_id} was not exported: its attachment ${device.id} has no target`, 'NotExported')
  return {
    volumeId: device.volume_id!,
    attachmentId: device.id,
    driver: 'iscsi',
    portal: data.target_portal,
    iqn: data.target_iqn,
    lun: data.target_lun,
    auth: data.auth_username ? { username: data.auth_username, password: data.auth_password } : null,
    sizeGiB: Number(device.size ?? 0),
    readOnly: data.access_mode === 'ro',
    qos: data.qos_specs ?? null,
    device: device.device,
    bootIndex: device.boot_index === null ? null : Number(device.boot_index),
  }
}

async function addressOf({ database: { db } }: ComputeContext, name: string): Promise<string> {
  return stateOf(await db.selectFrom('hosts').selectAll().where('host', '=', name).executeTakeFirstOrThrow()).hostIp
}

/** All volumes that a server has, for its domain's XML. */
export async function connectionsOf(context: ComputeContext, row: InstanceRow): Promise<VolumeConnection[]> {
  const connections: VolumeConnection[] = []
  for (const device of await blockDevicesOf(context.database.db, [row.id])) {
    if (!device.volume_id) continue
    const connection = await connect(context, row, device).catch((error) => {
      if (device.boot_index === null && isToCome(error)) return null
      throw error
    })
    if (connection) connections.push(connection)
  }
  return connections
}

/** A volume that is asked for has no attachment before its own saga, which waits for the one that asks here, makes it. */
const isToCome = (error: unknown) => error instanceof Fault && error.status === 404

/** What a host must know to take a volume away: no target is made for it. */
export const formerConnection = (device: BlockDeviceRow): VolumeConnection => ({
  volumeId: device.volume_id!,
  attachmentId: device.id,
  driver: 'iscsi',
  portal: '',
  iqn: '',
  lun: 0,
  auth: null,
  sizeGiB: Number(device.size ?? 0),
  readOnly: false,
  qos: null,
  device: device.device,
  bootIndex: device.boot_index === null ? null : Number(device.boot_index),
})

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'

/** The first free name: /dev/vda is the root disk's unless it boots from a volume. */
export function nextDevice(taken: string[]): string | null {
  const free = [...LETTERS].find((letter) => !taken.includes(`/dev/vd${letter}`))
  return free ? `/dev/vd${free}` : null
}
