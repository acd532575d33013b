import type { Vif } from '../../compute/rpc.ts'
import { interfaceXml } from '../../drivers/libvirt/domain-xml.ts'
import { type Element, first } from '../../drivers/libvirt/xml.ts'
import { interfaceOf } from './device-descriptions.ts'
import { attach, detach } from './hot-plug.ts'
import type { World } from './world.ts'

interface OfInterface {
  uuid: string
  vif: Vif
}

const hasMac =
  ({ macAddress }: Vif) =>
  (card: Element): boolean =>
    first(card, 'mac')?.attributes.address?.toLowerCase() === macAddress.toLowerCase()

export async function attachInterface({ machine: { libvirt }, facts }: World, { uuid, vif }: OfInterface): Promise<void> {
  const { vhost } = await facts.get()
  await attach(libvirt, uuid, interfaceXml(interfaceOf(vif, 'virtio', vhost)), 'interface', hasMac(vif))
}

export async function detachInterface({ machine: { libvirt } }: World, { uuid, vif }: OfInterface): Promise<void> {
  await detach(libvirt, uuid, 'interface', hasMac(vif))
}
