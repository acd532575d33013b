import type { InstanceSpec, Vif, VolumeConnection } from '../../compute/rpc.ts'
import type { DiskDescription, InterfaceDescription } from '../../drivers/libvirt/domain-xml.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { qbrOf, tapOf } from '../network/names.ts'
import { hasConfigDrive } from './config-drive.ts'
import { diskLimitsOf } from './flavor-limits.ts'
import { volumeLimits } from './volume-limits.ts'
import type { World } from './world.ts'

type Bus = DiskDescription['bus']

const FIRST_TARGET: Record<Bus, string> = { virtio: 'vda', scsi: 'sda', sata: 'sda', ide: 'hda', usb: 'sda' }
/** Control gives volumes the letters from b on, also while the guest runs: a flavor's own disks take them from the end. */
const EPHEMERAL = 'vdy'
const SWAP = 'vdz'

export async function disksOf(
  world: World,
  instance: InstanceSpec,
  volumes: VolumeConnection[],
  rescue: boolean,
): Promise<DiskDescription[]> {
  const { places, facts } = world
  const { uuid, flavor, image } = instance
  const cache = (await facts.get()).directIo ? 'none' : 'writeback'
  const file = (path: string, target: string, bus: Bus, more: Partial<DiskDescription> = {}): DiskDescription => ({
    device: 'disk',
    source: { kind: 'file', path, format: 'qcow2' },
    target,
    bus,
    cache,
    ...more,
  })
  const bus = busOf(image?.properties.hw_disk_bus)
  const roots: DiskDescription[] = image ? [file(places.disk(uuid), FIRST_TARGET[bus], bus, { limits: diskLimitsOf(flavor) })] : []
  // a guest in rescue has its own disk beside the one it boots from
  if (rescue && image) roots.push(file(places.keptDisk(uuid, 'rescue'), 'vdb', 'virtio'))
  // firmware boots from the first disk: a root volume comes before the others
  const order = ({ bootIndex, device }: VolumeConnection) => `${bootIndex !== null && bootIndex >= 0 ? bootIndex : 9} ${device}`
  const attached = [...volumes].sort((a, b) => (order(a) < order(b) ? -1 : 1)).map((one) => volumeDisk(one))
  return [
    ...roots,
    ...(rescue ? attached.filter(({ target }) => target !== 'vdb') : attached),
    ...(flavor.ephemeralGiB > 0 ? [file(places.ephemeral(uuid), EPHEMERAL, 'virtio')] : []),
    ...(flavor.swapMiB > 0 ? [file(places.swap(uuid), SWAP, 'virtio')] : []),
    ...(hasConfigDrive(world, instance) ? [configDisk(places.configDrive(uuid), image?.properties.hw_machine_type, cache)] : []),
  ]
}

function configDisk(path: string, machine: string | undefined, cache: 'none' | 'writeback'): DiskDescription {
  const where = machine?.includes('q35') ? { target: 'sdz', bus: 'sata' as const } : { target: 'hda', bus: 'ide' as const }
  return { device: 'cdrom', source: { kind: 'file', path, format: 'raw' }, ...where, readOnly: true, cache }
}

/** `bytes`: the guest is to see only the first ones. */
export function volumeDisk(connection: VolumeConnection, bytes?: number): DiskDescription {
  if (connection.driver !== 'iscsi')
    throw badRequest(`Volume ${connection.volumeId} is reached by ${connection.driver}; hosts reach volumes by iSCSI.`, 'VolumeDriver')
  const target = connection.device.replace(/^\/dev\//, '')
  return {
    device: 'disk',
    source: {
      kind: 'iscsi',
      portal: connection.portal,
      iqn: connection.iqn,
      lun: connection.lun,
      // the secret has the attachment's id, so that it is found again when all else is forgotten
      auth: connection.auth && { username: connection.auth.username, secretUuid: connection.attachmentId },
      bytes,
    },
    target,
    bus: target.startsWith('sd') ? 'scsi' : target.startsWith('hd') ? 'ide' : 'virtio',
    serial: connection.volumeId,
    readOnly: connection.readOnly,
    cache: 'none',
    limits: volumeLimits(connection),
  }
}

export function interfaceOf(vif: Vif, model: string, vhost: boolean): InterfaceDescription {
  const { portId, macAddress, network, details } = vif
  const common = { macAddress, tap: tapOf(portId), model, mtu: network.mtu, vhost }
  if (details.ovsHybridPlug) return { ...common, bridge: qbrOf(portId) }
  return {
    ...common,
    bridge: details.bridgeName || 'br-int',
    openvswitch: { interfaceId: portId },
    noOffload: details.datapathType === 'netdev',
  }
}

/** @throws Fault 400 for what QEMU does not know: the word comes from an image's properties */
function busOf(property: string | undefined): Bus {
  if (property === undefined) return 'virtio'
  if (!Object.hasOwn(FIRST_TARGET, property))
    throw badRequest(
      `The image's hw_disk_bus is ${JSON.stringify(property)}; known are ${Object.keys(FIRST_TARGET).join(', ')}.`,
      'BadImage',
    )
  return property as Bus
}
