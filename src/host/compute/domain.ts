import type { PowerState } from '../../compute/rpc.ts'
import type { Domain } from '../../drivers/libvirt/driver.ts'
import { type Element, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { vncPortOf } from './console.ts'
import { domainOf, isActive, powerOf, unless } from './power-states.ts'
import { removeSecrets } from './volume-secrets.ts'
import type { World } from './world.ts'

/** Step 32. */
export async function define({ machine: { libvirt }, domains }: World, { uuid, xml }: { uuid: string; xml: string }) {
  if (first(parseXml(xml), 'uuid')?.text !== uuid) throw badRequest(`This XML is not of server ${uuid}.`, 'DomainXml')
  const { name } = await libvirt.defineDomain(xml)
  domains.remember(uuid)
  return { domainName: name }
}

/** With the secrets that its definition named. */
export async function undefine({ machine: { libvirt }, domains }: World, uuid: string): Promise<void> {
  await unless(['NoDomain'], libvirt.undefineDomain(uuid))
  await removeSecrets(libvirt, uuid)
  domains.forget(uuid)
}

/** QEMU comes up with the guest's devices, and its processors stand still: that takes a while, and needs no network yet. */
export async function launch({ machine: { libvirt } }: World, uuid: string): Promise<{ domainId: number }> {
  // told twice at the same time, the second call comes too late
  if (!isActive(await libvirt.domainByUuid(uuid))) await unless(['DomainState'], libvirt.startDomain(uuid, { paused: true }))
  return { domainId: (await libvirt.domainByUuid(uuid)).id }
}

/** What step 37 answers, and the guest that it speaks of. */
export interface Started {
  answer: { powerState: PowerState; domainId: number; vncPort: number | null }
  domain: Domain
  root: Element
}

/** Step 37. A guest that runs already stays as it is; one that was launched begins. */
export async function start({ machine: { libvirt } }: World, uuid: string): Promise<Started> {
  const before = await libvirt.domainByUuid(uuid)
  if (before.state === 'paused') await unless(['DomainState'], libvirt.resumeDomain(uuid))
  else if (!isActive(before)) await unless(['DomainState'], libvirt.startDomain(uuid))
  const domain = await libvirt.domainByUuid(uuid)
  const root = parseXml(await libvirt.domainXml(uuid))
  const vncPort = isActive(domain) ? vncPortOf(root) : null
  return { answer: { powerState: await powerOf(libvirt, domain), domainId: domain.id, vncPort }, domain, root }
}

/** Pulls the plug; memory that was saved is forgotten with it. */
export async function destroy({ machine: { libvirt } }: World, uuid: string): Promise<void> {
  const domain = await domainOf(libvirt, uuid)
  if (!domain) return
  if (isActive(domain)) await unless(['NoDomain', 'DomainState'], libvirt.destroyDomain(uuid))
  else if (await unless(['NoDomain'], libvirt.hasSaved(uuid))) await unless(['NoDomain'], libvirt.removeSaved(uuid))
}

export async function powerState({ machine: { libvirt } }: World, uuid: string): Promise<{ powerState: PowerState; exists: boolean }> {
  const domain = await domainOf(libvirt, uuid)
  return domain ? { powerState: await powerOf(libvirt, domain), exists: true } : { powerState: 'nostate', exists: false }
}
