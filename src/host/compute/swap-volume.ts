import type { VolumeConnection, VolumeSwap } from '../../compute/rpc.ts'
import { type DiskDescription, diskXml } from '../../drivers/libvirt/domain-xml.ts'
import type { Libvirt } from '../../drivers/libvirt/driver.ts'
import { type Element, element, find, first, parseXml, printXml } from '../../drivers/libvirt/xml.ts'
import { conflict, Fault } from '../../kernel/errors/errors.ts'
import { GiB } from '../../kernel/units/units.ts'
import { volumeDisk } from './device-descriptions.ts'
import { domainOf, isActive } from './power-states.ts'
import { volumeLimits } from './volume-limits.ts'
import { ensureSecret, removeSecret } from './volume-secrets.ts'
import { isVolume } from './volumes.ts'
import type { World } from './world.ts'

/** One volume takes the place of another below a running guest, which sees the same disk all the time. */

/**
 * Ready when all of the former volume is on the other one, and stays there with what the guest writes. Told again it looks how far that is; with `begun` it does
 * not begin anew. @throws Fault 409 when the guest does not run or has not this volume, 500 when the copy broke off
 */
export async function copyVolume(
  { machine: { libvirt } }: World,
  { uuid, former, connection, begun }: VolumeSwap & { begun: boolean },
): Promise<{ ready: boolean }> {
  if (!isActive(await libvirt.domainByUuid(uuid)))
    throw conflict(`The guest of server ${uuid} does not run: its volumes cannot be swapped.`, 'DomainState')
  const disk = await diskOf(libvirt, uuid, isVolume(former))
  if (!disk) throw conflict(`The guest of server ${uuid} has no disk of volume ${former.volumeId}.`, 'NoDisk')
  const [mirror, wanted] = [first(disk, 'mirror'), diskXml(await asLarge(libvirt, uuid, targetOf(disk), connection))]
  if (mirror && sourceOf(mirror) === sourceOf(parseXml(wanted))) return { ready: mirror.attributes.ready === 'yes' }
  if (begun)
    throw new Fault(500, 'CopyBroken', `Volume ${former.volumeId} is not copied to ${connection.volumeId} any more: one of them failed.`)
  if (mirror) await libvirt.endDiskJob(uuid, targetOf(disk))
  await ensureSecret(libvirt, uuid, connection)
  await libvirt.copyDisk(uuid, targetOf(disk), wanted, { reuse: true })
  return { ready: false }
}

/** The guest keeps what it has. */
export async function breakOffCopy({ machine: { libvirt } }: World, { uuid, former, connection }: VolumeSwap): Promise<void> {
  const domain = await domainOf(libvirt, uuid)
  const disk = domain && isActive(domain) ? await diskOf(libvirt, uuid, isVolume(former)) : undefined
  if (disk && first(disk, 'mirror')) await libvirt.endDiskJob(uuid, targetOf(disk))
  await removeSecret(libvirt, uuid, connection.volumeId)
}

/** The guest goes on with the other volume; told again until it is swapped. A guest that has gone off before is woken for the copy: it cannot be known whether that was whole. */
export async function pivotVolume(world: World, swap: VolumeSwap): Promise<{ swapped: boolean }> {
  const { libvirt } = world.machine
  const { uuid, former, connection } = swap
  const active = isActive(await libvirt.domainByUuid(uuid))
  const disk = await diskOf(libvirt, uuid, isVolume(connection))
  if (disk) {
    const limits = volumeLimits(connection)
    if (active && (await isWoken(libvirt, uuid))) await libvirt.destroyDomain(uuid)
    else if (active && (first(disk, 'iotune') || Object.keys(limits).length > 0))
      await libvirt.limitDisk(uuid, targetOf(disk), limits, { live: true })
    return { swapped: true }
  }
  if (!active) await wake(libvirt, uuid)
  const { ready } = await copyVolume(world, { ...swap, begun: false })
  if (ready) await libvirt.endDiskJob(uuid, targetOf((await diskOf(libvirt, uuid, isVolume(former)))!), { pivot: true })
  return { swapped: false }
}

/** QEMU copies only to what is as large as the source, and cannot make that larger below a guest: of a larger volume the guest sees the rest when it starts again. */
async function asLarge(libvirt: Libvirt, uuid: string, target: string, connection: VolumeConnection): Promise<DiskDescription> {
  const { capacity } = await libvirt.diskInfo(uuid, target)
  return volumeDisk(connection, capacity < connection.sizeGiB * GiB ? capacity : undefined)
}

const WOKEN = ['metadata', 'yun:instance', 'yun:woken']

/** Without cards, for which nothing may be plugged any more, and without its processor running. */
async function wake(libvirt: Libvirt, uuid: string): Promise<void> {
  const definition = parseXml(await libvirt.domainXml(uuid, { inactive: true }))
  const devices = first(definition, 'devices')!
  devices.children = devices.children.filter(({ name }) => name !== 'interface')
  if (!first(definition, ...WOKEN)) first(definition, 'metadata', 'yun:instance')!.children.push(element('yun:woken'))
  await libvirt.defineDomain(printXml(definition))
  await libvirt.startDomain(uuid, { paused: true })
}

const isWoken = async (libvirt: Libvirt, uuid: string) => first(parseXml(await libvirt.domainXml(uuid)), ...WOKEN) !== undefined

/** In the guest, or in the definition of one that is off. */
async function diskOf(libvirt: Libvirt, uuid: string, matches: (disk: Element) => boolean): Promise<Element | undefined> {
  return find(parseXml(await libvirt.domainXml(uuid)), 'devices', 'disk').find(matches)
}

const targetOf = (disk: Element): string => first(disk, 'target')?.attributes.dev ?? ''
/** Which target and LUN. */
const sourceOf = (disk: Element): string | undefined => first(disk, 'source')?.attributes.name
