import type { VolumeConnection } from '../../compute/rpc.ts'
import { diskXml } from '../../drivers/libvirt/domain-xml.ts'
import { type Element, first } from '../../drivers/libvirt/xml.ts'
import { GiB } from '../../kernel/units/units.ts'
import { volumeDisk } from './device-descriptions.ts'
import { attach, detach, liveDevice, pciAddress } from './hot-plug.ts'
import { ensureSecret, removeSecret } from './volume-secrets.ts'
import type { World } from './world.ts'

interface OfVolume {
  uuid: string
  connection: VolumeConnection
}

/**
 * A disk is known by the secret that its target asks for, which has the attachment's id: targets and portals are made anew, and detaching is told neither. A disk
 * whose volume was swapped keeps the serial number of the first one until its guest starts again.
 */
export const isVolume =
  ({ attachmentId, volumeId }: VolumeConnection) =>
  (disk: Element): boolean => {
    const secret = first(disk, 'auth', 'secret') ?? first(disk, 'source', 'auth', 'secret')
    return secret ? secret.attributes.uuid === attachmentId : first(disk, 'serial')?.text === volumeId
  }

/** Step 49. QEMU connects to the target by itself, with the password that libvirt holds. */
export async function attachVolume({ machine: { libvirt } }: World, { uuid, connection }: OfVolume) {
  await ensureSecret(libvirt, uuid, connection)
  try {
    const disk = await attach(libvirt, uuid, diskXml(volumeDisk(connection)), 'disk', isVolume(connection))
    return { device: `/dev/${first(disk, 'target')?.attributes.dev}`, address: pciAddress(disk) }
  } catch (error) {
    await removeSecret(libvirt, uuid, connection.volumeId).catch(() => {})
    throw error
  }
}

export async function detachVolume({ machine: { libvirt } }: World, { uuid, connection }: OfVolume): Promise<void> {
  await detach(libvirt, uuid, 'disk', isVolume(connection))
  await removeSecret(libvirt, uuid, connection.volumeId)
}

/** Tells a running guest that its disk has grown; others see it when they start. */
export async function extendVolume({ machine: { libvirt } }: World, { uuid, connection }: OfVolume): Promise<void> {
  const disk = await liveDevice(libvirt, uuid, 'disk', isVolume(connection))
  const name = disk && first(disk, 'target')?.attributes.dev
  if (name) await libvirt.resizeDisk(uuid, name, connection.sizeGiB * GiB)
}
