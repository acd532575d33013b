import type { Libvirt } from '../../drivers/libvirt/driver.ts'
import { type Element, find, first, parseXml, printXml } from '../../drivers/libvirt/xml.ts'
import { conflict } from '../../kernel/errors/errors.ts'
import { domainOf, isActive, unless } from './power-states.ts'

/** Devices that come to and go from a domain: into its definition, and into the guest where it runs. */

type Matches = (device: Element) => boolean
const SIDES = ['live', 'config'] as const

/** A guest lets go when it likes; it is asked again after so many ms, and so often. */
const ASK_AGAIN_MS = 5_000
const ASK_TIMES = 6

/** Where it is there already, it stays as it is; where it does not come whole, none of it stays. @returns the device as it is now */
export async function attach(libvirt: Libvirt, uuid: string, xml: string, name: 'disk' | 'interface', matches: Matches): Promise<Element> {
  const active = isActive(await libvirt.domainByUuid(uuid))
  try {
    for (const side of SIDES) {
      if (side === 'live' && !active) continue
      if (await lookFor(libvirt, uuid, side, name, matches)) continue
      await libvirt.attachDevice(uuid, xml, { [side]: true })
    }
  } catch (error) {
    await detach(libvirt, uuid, name, matches).catch(() => {}) // the first error tells more
    throw error
  }
  return (await lookFor(libvirt, uuid, active ? 'live' : 'config', name, matches))!
}

/** Out of the guest first: what it does not let go of stays defined. A domain that is gone has let go of everything. */
export async function detach(libvirt: Libvirt, uuid: string, name: 'disk' | 'interface', matches: Matches): Promise<void> {
  const domain = await domainOf(libvirt, uuid)
  if (!domain) return
  if (isActive(domain)) await detachLive(libvirt, uuid, name, matches)
  const defined = await lookFor(libvirt, uuid, 'config', name, matches)
  if (defined) await unless(['NoDevice'], libvirt.detachDevice(uuid, printXml(defined), { config: true }))
}

async function detachLive(libvirt: Libvirt, uuid: string, name: 'disk' | 'interface', matches: Matches): Promise<void> {
  let heard = () => {}
  const unlisten = libvirt.onEvent((event) => {
    if ((event.kind === 'device-removed' || (event.kind === 'lifecycle' && event.event === 'stopped')) && event.uuid === uuid) heard()
  })
  try {
    for (let asked = 0; asked < ASK_TIMES; asked++) {
      const device = await lookFor(libvirt, uuid, 'live', name, matches)
      if (!device) return
      const removed = new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ASK_AGAIN_MS)
        heard = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      // DomainBusy: it was asked before and has not answered yet
      await unless(['NoDevice', 'DomainState', 'DomainBusy', 'NoDomain'], libvirt.detachDevice(uuid, printXml(device), { live: true }))
      if (!(await lookFor(libvirt, uuid, 'live', name, matches))) return heard()
      await removed
    }
    if (!(await lookFor(libvirt, uuid, 'live', name, matches))) return
  } finally {
    unlisten()
    heard()
  }
  throw conflict(
    `The guest of server ${uuid} does not let go of the ${name}: it may be in use, or still booting. Unmount it inside and try again, or stop the server.`,
    'DeviceDetachFailed',
  )
}

/** Of a running guest; undefined when it has none such. */
export const liveDevice = (libvirt: Libvirt, uuid: string, name: string, matches: Matches) => lookFor(libvirt, uuid, 'live', name, matches)

async function lookFor(libvirt: Libvirt, uuid: string, side: (typeof SIDES)[number], name: string, matches: Matches) {
  const domain = await domainOf(libvirt, uuid)
  if (!domain || (side === 'live' && !isActive(domain))) return undefined
  return find(parseXml(await libvirt.domainXml(uuid, { inactive: side === 'config' })), 'devices', name).find(matches)
}

/** `0000:00:07.0`, where the guest sees it on its PCI bus. */
export function pciAddress(device: Element): string | null {
  const address = first(device, 'address')?.attributes
  if (address?.type !== 'pci') return null
  const hex = (text: string | undefined, digits: number) =>
    Number(text ?? 0)
      .toString(16)
      .padStart(digits, '0')
  return `${hex(address.domain, 4)}:${hex(address.bus, 2)}:${hex(address.slot, 2)}.${hex(address.function, 1)}`
}
