import { badRequest } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import type { ImageSpec } from '../rpc.ts'
import type { ComputeContext } from './context.ts'
import { mergedDevices } from './image-devices.ts'
import { imageSpecs } from './image-spec.ts'
import type { NewServer, WantedBlockDevice } from './new-server.ts'
import { nextDevice } from './volume-connection.ts'

type Device = Omit<BlockDeviceRow, 'id' | 'server_id' | 'created_at'>

/** The volumes that a server is created with, each with its device name. @throws Fault 400 saying which mapping is wrong */
export async function blockDevicesFor(
  context: ComputeContext,
  request: RequestContext,
  wanted: NewServer,
  image: ImageSpec | null,
): Promise<Device[]> {
  const all = mergedDevices(wanted.blockDevices, image)
  const mapped = all.filter((one) => one.destinationType === 'volume')
  const boots = all.filter((one) => one.bootIndex === 0)
  if (wanted.maxCount > 1 && mapped.some((one) => one.sourceType === 'volume'))
    throw badRequest('Cannot attach one or more volumes to multiple instances', 'InvalidRequest')
  if (boots.length > 1)
    throw badRequest(
      'Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.',
      'InvalidBDMBootSequence',
    )
  if (!wanted.imageRef && boots.length === 0)
    throw badRequest(
      'Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.',
      'InvalidBDMBootSequence',
    )
  const taken = wanted.imageRef && !boots.some((one) => one.destinationType === 'volume') ? ['/dev/vda'] : []
  const sizes = await sizesOf(context, request, mapped)
  const devices: Device[] = []
  for (const one of mapped.sort((a, b) => order(a) - order(b))) {
    const device = nextDevice(taken)
    if (!device) throw badRequest('Block Device Mapping is Invalid: a server has 26 disks at most.', 'InvalidBDM')
    taken.push(device)
    devices.push({
      volume_id: one.sourceType === 'volume' ? one.uuid : null,
      device,
      boot_index: one.bootIndex,
      delete_on_termination: one.deleteOnTermination ? 1 : 0,
      tag: one.tag,
      volume_type: one.volumeType,
      source_type: one.sourceType,
      source_id: one.sourceType === 'volume' ? null : one.uuid,
      size: sizes(one),
    })
  }
  return devices
}

const order = (one: WantedBlockDevice) => (one.bootIndex === null || one.bootIndex < 0 ? 1000 : one.bootIndex)

/** Looks up what all of them name at once; the answer tells of each how large its volume is to be. @throws Fault 400, both of them */
async function sizesOf(
  context: ComputeContext,
  request: RequestContext,
  mapped: WantedBlockDevice[],
): Promise<(one: WantedBlockDevice) => number> {
  const named = (sourceType: WantedBlockDevice['sourceType']) =>
    mapped.flatMap((one) => (one.sourceType === sourceType ? [one.uuid ?? ''] : []))
  const as = { token: request.token, requestId: request.requestId }
  const [volumes, snapshots] = await Promise.all([
    // the volumes are made by this service, which sees everything: whether the user may have what they are made from is asked as the user
    context.volumes.volumesById(named('volume'), as),
    context.volumes.snapshotsById(named('snapshot'), as),
    imageSpecs(context, request, named('image')),
  ])
  return (one) => {
    if (one.sourceType === 'volume') {
      const volume = volumes.get(one.uuid!) ?? missing(one)
      if (volume.status !== 'available' && !volume.multiattach)
        throw badRequest(`Block Device Mapping is Invalid: volume ${one.uuid} is ${volume.status}, not available.`, 'InvalidBDMVolume')
      if (one.bootIndex === 0 && volume.bootable !== 'true')
        throw badRequest(`Block Device Mapping is Invalid: Block Device ${one.uuid} is not bootable.`, 'InvalidBDMVolumeNotBootable')
      return volume.size
    }
    if (one.sourceType === 'snapshot') return Math.max((snapshots.get(one.uuid!) ?? missing(one)).size, one.sizeGiB ?? 0)
    if (!one.sizeGiB)
      throw badRequest(`Block Device Mapping is Invalid: a volume from ${one.sourceType} needs its volume_size.`, 'InvalidBDM')
    return one.sizeGiB
  }
}

function missing(one: WantedBlockDevice): never {
  throw badRequest(`Block Device Mapping is Invalid: failed to get ${one.sourceType} ${one.uuid}.`, 'InvalidBDMVolume')
}
