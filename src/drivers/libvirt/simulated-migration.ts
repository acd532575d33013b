import { Fault } from '../../kernel/errors/errors.ts'
import { libvirtError, libvirtFault } from './errors.ts'
import type { MigrationCalls } from './migration.ts'
import { bootDevices } from './simulated-machine.ts'
import type { SimulatedDomain, SimulatedWorld } from './simulated-world.ts'
import { find, first, parseXml, printXml } from './xml.ts'

const COOKIE = Buffer.from('simulated').toString('base64')

/** The twin sends nothing: both ends believe what they are told. A guest that waits for its memory is thrown away when it is prepared for anew, as libvirt does when its leader goes. */
export function simulatedMigration(made: SimulatedWorld): MigrationCalls {
  const { state: world, change, look, nameOf, running, become, stop, lifecycle, network } = made

  const waiting = (domain: SimulatedDomain | undefined) => domain?.state === 'paused' && domain.reason === 'migration'

  function throwAway(domain: SimulatedDomain): void {
    stop(domain, 'failed')
    delete world.domains[domain.uuid]
  }

  function arrive(xml: string): SimulatedDomain {
    const definition = parseXml(xml)
    const uuid = first(definition, 'uuid')!.text
    const there = world.domains[uuid]
    if (there?.live && !waiting(there))
      throw libvirtFault(libvirtError.operationInvalid, `domain '${there.name}' is already active`, `migrate-prepare ${there.name}`)
    if (there?.live) throwAway(there)
    const live = bootDevices(parseXml(xml), world.nextId)
    const taps: string[] = []
    try {
      for (const card of find(live, 'devices', 'interface')) {
        const tap = first(card, 'target')!.attributes.dev!
        network?.addTap(tap, first(card, 'source')?.attributes.bridge ?? '')
        taps.push(tap)
      }
    } catch (error) {
      for (const tap of taps) network?.removeTap(tap)
      throw error instanceof Fault ? error : libvirtFault(libvirtError.internal, (error as Error).message, 'migrate-prepare')
    }
    const domain: SimulatedDomain = {
      name: first(definition, 'name')!.text,
      uuid,
      id: world.nextId++,
      state: 'paused',
      reason: 'migration',
      definition: xml,
      live: printXml(live),
      saved: false,
      memoryKiB: Number(first(definition, 'memory')!.text),
      vcpus: Number(first(definition, 'vcpu')?.text ?? 1),
      startedAt: Date.now(),
      below: {},
      jobs: {},
    }
    world.domains[uuid] = domain
    return domain
  }

  const byName = (name: string) => {
    const domain = Object.values(world.domains).find((each) => each.name === name)
    if (!domain?.live || !waiting(domain))
      throw libvirtFault(libvirtError.noDomain, `no domain with matching name '${name}' waits for its memory`, `migrate-finish ${name}`)
    return domain
  }

  return {
    beginMigration: (uuid) =>
      change('beginMigration', `migrate-begin ${nameOf(uuid)}`, () => ({ xml: running(uuid, 'migrate-begin').definition, cookie: COOKIE })),
    prepareMigration: (xml, listen) =>
      change('prepareMigration', `migrate-prepare ${listen}`, () => {
        arrive(xml)
        return { uri: `${listen}:49152`, cookie: COOKIE }
      }),
    performMigration: (uuid, uri) =>
      change('performMigration', `migrate-perform ${uri} ${nameOf(uuid)}`, () => {
        running(uuid, 'migrate-perform')
        return { cookie: COOKIE }
      }),
    finishMigration: (name, _cookie, { paused }, cancelled) =>
      change('finishMigration', `migrate-finish${cancelled ? ' --cancelled' : ''} ${name}`, () => {
        const domain = byName(name)
        if (cancelled) throwAway(domain)
        else {
          become(domain, paused ? 'paused' : 'running', paused ? 'user' : 'migrated')
          lifecycle(domain, 'resumed', 'migrated')
        }
        return { cookie: COOKIE }
      }),
    confirmMigration: (uuid, _cookie, _plan, cancelled) =>
      change('confirmMigration', `migrate-confirm${cancelled ? ' --cancelled' : ''} ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'migrate-confirm')
        if (!cancelled) stop(domain, 'migrated')
      }),
    migrationProgress: (uuid) =>
      look('migrationProgress', () => {
        running(uuid, 'job-info')
        return null
      }),
    abortMigration: (uuid) =>
      change('abortMigration', `job-abort ${nameOf(uuid)}`, () => {
        const { name } = running(uuid, 'job-abort')
        throw libvirtFault(libvirtError.operationInvalid, 'no job is active on the domain', `job-abort ${name}`)
      }),
  }
}
