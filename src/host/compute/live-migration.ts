import { setTimeout as pause } from 'node:timers/promises'
import { COMPUTE_CONTROL, control, type MigrationPlan, type PowerState } from '../../compute/rpc.ts'
import { type Element, find, first, parseXml, printXml } from '../../drivers/libvirt/xml.ts'
import { isActive, powerOf, unless } from './power-states.ts'
import type { World } from './world.ts'

/** The parts of a live migration on the two hosts; control leads them (compute/sagas/live-migrate-server.ts). */

const LOOK_EVERY_MS = 500

interface OfGuest {
  uuid: string
  plan: MigrationPlan
}

/** Which disks go along: files that the guest may write, where the hosts have no storage in common. */
export async function planMigration(
  { machine: { libvirt } }: World,
  { uuid, shared, whole }: { uuid: string; shared: boolean; whole: boolean },
): Promise<{ plan: MigrationPlan; domainName: string }> {
  const domain = await libvirt.domainByUuid(uuid)
  const disks = find(parseXml(await libvirt.domainXml(uuid)), 'devices', 'disk')
  const own = disks.filter(({ attributes }) => attributes.type === 'file' && attributes.device === 'disk')
  const targets = own.map((disk) => first(disk, 'target')!.attributes.dev!)
  return { plan: { copyDisks: shared ? [] : targets, whole, paused: domain.state === 'paused' }, domainName: domain.name }
}

export async function beginMigration({ machine: { libvirt } }: World, { uuid, plan }: OfGuest): Promise<{ xml: string; cookie: string }> {
  return await libvirt.beginMigration(uuid, plan)
}

/** Its files lie, and its screen listens, where they do on this host. */
export async function prepareMigration(
  { machine: { libvirt }, options, domains, places }: World,
  { uuid, plan, xml, cookie, directory }: OfGuest & { xml: string; cookie: string; directory: string },
): Promise<{ uri: string; cookie: string }> {
  const definition = parseXml(xml)
  moveFiles(definition, `${directory}/`, `${places.directory}/`)
  for (const screen of find(definition, 'devices', 'graphics')) {
    screen.attributes.listen = options.vncAddress ?? '127.0.0.1'
    for (const listen of find(screen, 'listen')) listen.attributes.address = options.vncAddress ?? '127.0.0.1'
  }
  domains.remember(uuid)
  return await libvirt.prepareMigration(printXml(definition), `tcp://${options.hostIp}`, cookie, plan)
}

export async function performMigration(
  { machine: { libvirt }, options, log }: World,
  { uuid, plan, uri, cookie, migrationId }: OfGuest & { uri: string; cookie: string; migrationId: string },
): Promise<{ cookie: string }> {
  const over = new AbortController()
  const watching = (async () => {
    for (;;) {
      await pause(LOOK_EVERY_MS, undefined, { signal: over.signal })
      const progress = await libvirt.migrationProgress(uuid)
      if (progress) await options.bus.call(COMPUTE_CONTROL, control.migrationProgress, { migrationId, progress })
    }
  })().catch((error) => {
    if (error.name !== 'AbortError') log.warn({ err: error, uuid }, 'how far a live migration is cannot be told')
  })
  try {
    return await libvirt.performMigration(uuid, uri, cookie, plan)
  } finally {
    over.abort()
    await watching
  }
}

/** From here on the guest is here. */
export async function finishMigration(
  { machine: { libvirt }, domains }: World,
  { uuid, domainName, plan, cookie }: OfGuest & { domainName: string; cookie: string },
): Promise<{ cookie: string; powerState: PowerState }> {
  const finished = await libvirt.finishMigration(domainName, cookie, plan, false)
  domains.remember(uuid)
  return { ...finished, powerState: await powerOf(libvirt, await libvirt.domainByUuid(uuid)) }
}

export async function confirmMigration(
  { machine: { libvirt } }: World,
  { uuid, plan, cookie }: OfGuest & { cookie: string },
): Promise<void> {
  await libvirt.confirmMigration(uuid, cookie, plan, false)
}

/** However far it came: the guest that waits, one that goes on already, its definition. */
export async function abandonMigration(
  { machine: { libvirt }, domains }: World,
  { uuid, domainName, plan }: OfGuest & { domainName: string },
): Promise<void> {
  await libvirt.finishMigration(domainName, '', plan, true).catch(() => {}) // libvirt answers with an error whether there was one or not
  const domain = await unless(['NoDomain'], libvirt.domainByUuid(uuid))
  if (domain && isActive(domain)) await unless(['NoDomain', 'DomainState'], libvirt.destroyDomain(uuid))
  await unless(['NoDomain'], libvirt.undefineDomain(uuid))
  domains.forget(uuid)
}

export async function cancelMigration({ machine: { libvirt } }: World, { uuid, plan }: OfGuest): Promise<void> {
  await libvirt.confirmMigration(uuid, '', plan, true).catch(() => {}) // where nothing was begun there is nothing to end
  const domain = await unless(['NoDomain'], libvirt.domainByUuid(uuid))
  if (domain?.state === 'paused' && !plan.paused) await unless(['DomainState'], libvirt.resumeDomain(uuid))
}

function moveFiles(element: Element, from: string, to: string): void {
  for (const [name, value] of Object.entries(element.attributes))
    if (value.startsWith(from)) element.attributes[name] = to + value.slice(from.length)
  for (const child of element.children) moveFiles(child, from, to)
}
