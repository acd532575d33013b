import type { VolumeConnection } from '../../compute/rpc.ts'
import { diskXml } from '../../drivers/libvirt/domain-xml.ts'
import { type Element, first } from '../../drivers/libvirt/xml.ts'
import { GiB } from '../../kernel/units/units.ts'
import { volumeDisk } from './device-descriptions.ts'
import { attach, detach, pciAddress } from './hot-plug.ts'
import { domainOf, isActive } from './power-states.ts'
import { ensureSecret, removeSecret } from './volume-secrets.ts'
import type { World } from './world.ts'

interface OfVolume {
  uuid: string
  connection: VolumeConnection
}

/** A volume is known by its id, which is the disk's serial number: targets and portals are made anew, and detaching is told neither. */
const isVolume =
  (volumeId: string) =>
  (disk: Element): boolean =>
    first(disk, 'serial')?.text === volumeId

/** Step 49. QEMU connects to the target by itself, with the password that libvirt holds. */
export async function attachVolume({ machine: { libvirt } }: World, { uuid, connection }: OfVolume) {
  await ensureSecret(libvirt, uuid, connection)
  try {
    const disk = await attach(libvirt, uuid, diskXml(volumeDisk(connection)), 'disk', isVolume(connection.volumeId))
    return { device: `/dev/${first(disk, 'target')?.attributes.dev}`, address: pciAddress(disk) }
  } catch (error) {
    await removeSecret(libvirt, uuid, connection.volumeId).catch(() => {})
    throw error
  }
}

export async function detachVolume({ machine: { libvirt } }: World, { uuid, connection }: OfVolume): Promise<void> {
  await detach(libvirt, uuid, 'disk', isVolume(connection.volumeId))
  await removeSecret(libvirt, uuid, connection.volumeId)
}

/** Tells a running guest that its disk has grown; others see it when they start. */
export async function extendVolume({ machine: { libvirt } }: World, { uuid, connection }: OfVolume): Promise<void> {
  const domain = await domainOf(libvirt, uuid)
  if (domain && isActive(domain)) await libvirt.resizeDisk(uuid, connection.device.replace(/^\/dev\//, ''), connection.sizeGiB * GiB)
}
