import { badRequest } from '../../kernel/errors/errors.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import type { ImageSpec } from '../rpc.ts'
import type { WantedBlockDevice } from './new-server.ts'

/** What an image without data says of the volumes that its servers are to have, in the words of the block device mapping that clients send. */
export const deviceProperties = (devices: { snapshotId: string; device: BlockDeviceRow }[]): Record<string, string> => ({
  root_device_name: '/dev/vda',
  bdm_v2: 'True',
  block_device_mapping: JSON.stringify(
    devices.map(({ snapshotId, device }) => ({
      source_type: 'snapshot',
      destination_type: 'volume',
      snapshot_id: snapshotId,
      device_name: device.device,
      boot_index: device.boot_index === null ? null : Number(device.boot_index),
      delete_on_termination: device.delete_on_termination === 1,
      volume_size: Number(device.size),
      device_type: 'disk',
      disk_bus: 'virtio',
      guest_format: null,
      volume_id: null,
      image_id: null,
      no_device: null,
      tag: null,
      volume_type: null,
      encrypted: null,
      encryption_secret_uuid: null,
      encryption_format: null,
      encryption_options: null,
    })),
  ),
})

/** @throws Fault 400 for an image whose mapping cannot be read */
export function devicesOfImage(image: ImageSpec | null): WantedBlockDevice[] {
  const text = image?.properties.block_device_mapping
  if (!text) return []
  try {
    return (JSON.parse(text) as Record<string, any>[]).map(wantedDevice)
  } catch {
    throw badRequest(`Block Device Mapping is Invalid: that of image ${image.id} cannot be read.`, 'InvalidBDM')
  }
}

const SOURCES = ['volume', 'snapshot', 'image', 'blank'] as const

function wantedDevice(one: Record<string, any>): WantedBlockDevice {
  const sourceType = SOURCES.find((source) => source === one.source_type) ?? (one.snapshot_id ? 'snapshot' : 'volume')
  const uuid = one.snapshot_id ?? one.volume_id ?? one.image_id ?? one.uuid ?? null
  const bootIndex = one.boot_index ?? (/^(\/dev\/)?vda$/.test(one.device_name ?? '') ? 0 : null)
  return {
    sourceType,
    destinationType: one.destination_type === 'local' ? 'local' : 'volume',
    uuid: uuid === null ? null : String(uuid),
    bootIndex: bootIndex === null ? null : Number(bootIndex),
    sizeGiB: one.volume_size ? Number(one.volume_size) : null,
    deviceName: one.device_name ?? null,
    deleteOnTermination: one.delete_on_termination === true,
    tag: one.tag ?? null,
    volumeType: one.volume_type ?? null,
  }
}

/** The request's devices come before those of the image: of one name, or instead of the image itself as root. */
export function mergedDevices(asked: WantedBlockDevice[], image: ImageSpec | null): WantedBlockDevice[] {
  const defined = devicesOfImage(image)
  const rooted = defined.some((one) => one.bootIndex === 0)
  const own = rooted ? asked.filter((one) => !(one.bootIndex === 0 && one.sourceType === 'image')) : asked
  const named = (one: WantedBlockDevice) => one.deviceName?.replace('/dev/', '')
  const names = own.map(named)
  return [...own, ...defined.filter((one) => !one.deviceName || !names.includes(named(one)))]
}
