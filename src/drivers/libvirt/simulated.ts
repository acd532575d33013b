import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { Fault } from '../../kernel/errors/errors.ts'
import type { Affect, Libvirt } from './driver.ts'
import { libvirtError, libvirtFault } from './errors.ts'
import { simulatedDevices, simulatedDisks } from './simulated-devices.ts'
import { bootDevices, bootMessages, HOST_XML, machineXml, PIXEL } from './simulated-machine.ts'
import { simulatedMigration } from './simulated-migration.ts'
import { simulatedSecrets } from './simulated-secrets.ts'
import { type LibvirtCall, type SimulatedDomain, type SimulatedLibvirtOptions, simulatedWorld } from './simulated-world.ts'
import { element, find, first, parseXml, printXml } from './xml.ts'

/** The twin of libvirtd, and what tests may do to it besides. */
export interface SimulatedLibvirt extends Libvirt {
  /** The next `times` calls of this name fail: with this error, or a 500 that says so. */
  failOn(call: LibvirtCall, error?: Error, times?: number): void
  /** What the guest, or a fault of the hypervisor, does. */
  guest(uuid: string, does: 'shuts-down' | 'crashes' | 'reboots' | 'io-error'): void
  /** libvirtd goes away (every call fails with 503) and comes back; guests run on. */
  setUp(up: boolean): void
  acpi: boolean
  /** Calls that changed something, oldest first: `domain-start instance-00000001`. */
  changes(): string[]
  secretValue(uuid: string): Buffer | undefined
}

export function simulatedLibvirt(options: SimulatedLibvirtOptions = {}): SimulatedLibvirt {
  const made = simulatedWorld(options)
  const { state: world, change, look, domainOf, nameOf, running, become, stop, picture, current, lifecycle, save } = made

  function agentOf(uuid: string, what: string): void {
    const domain = running(uuid, what)
    const has = find(parseXml(domain.live!), 'devices', 'channel', 'target').some(
      (each) => each.attributes.name === 'org.qemu.guest_agent.0',
    )
    if (!has) throw libvirtFault(libvirtError.argumentUnsupported, 'QEMU guest agent is not configured', `${what} ${domain.name}`)
  }

  const shown = ({ live, config }: Affect) => `${live ? ' --live' : ''}${config ? ' --config' : ''}`

  const twin: SimulatedLibvirt = {
    ...simulatedDevices(made, () => twin.acpi),
    ...simulatedDisks(made),
    ...simulatedSecrets(made),
    ...simulatedMigration(made),
    acpi: options.acpi ?? true,
    version: () => look('version', () => ({ libvirt: 9_000_000, hypervisor: 7_002_022 })),
    hostname: () => look('hostname', () => 'simulated'),
    nodeInfo: () =>
      look('nodeInfo', () => ({
        model: 'x86_64',
        memoryMiB: 32_768,
        cpus: 8,
        mhz: 2_400,
        nodes: 1,
        sockets: 1,
        cores: 4,
        threads: 2,
        ...options.node,
      })),
    capabilities: () => look('capabilities', () => HOST_XML),
    domainCapabilities: ({ type, arch = 'x86_64', machine = 'pc-i440fx-7.2' }) =>
      look('domainCapabilities', () => machineXml(type, arch, machine)),

    listDomains: () => look('listDomains', () => Object.values(world.domains).map(picture)),
    domainByUuid: (uuid) => look('domainByUuid', () => picture(domainOf(uuid))),
    domainByName: (name) =>
      look('domainByName', () => {
        const domain = Object.values(world.domains).find((each) => each.name === name)
        if (!domain) throw libvirtFault(libvirtError.noDomain, `Domain not found: no domain with matching name '${name}'`, `lookup ${name}`)
        return picture(domain)
      }),
    defineDomain: (xml) =>
      change('defineDomain', `domain-define ${/<name>([^<]*)/.exec(xml)?.[1] ?? '?'}`, () => {
        const root = parseXml(xml)
        const name = first(root, 'name')?.text
        if (root.name !== 'domain' || !name || !first(root, 'memory') || !first(root, 'os', 'type'))
          throw libvirtFault(libvirtError.xml, 'XML error: a domain has a name, memory and an os type', 'domain-define')
        const uuid = first(root, 'uuid')?.text ?? randomUUID()
        const other = Object.values(world.domains).find((each) => each.name === name && each.uuid !== uuid)
        if (other)
          throw libvirtFault(
            libvirtError.operationFailed,
            `operation failed: domain '${name}' already exists with uuid ${other.uuid}`,
            `domain-define ${name}`,
          )
        const before = world.domains[uuid]
        if (!first(root, 'devices')) root.children.push(element('devices'))
        const fresh: SimulatedDomain = {
          name,
          uuid,
          id: -1,
          state: 'shutoff',
          reason: 'unknown',
          definition: '',
          live: null,
          saved: false,
          memoryKiB: 0,
          vcpus: 1,
          startedAt: 0,
          below: {},
          jobs: {},
        }
        const domain = { ...(before ?? fresh), definition: printXml(root) }
        world.domains[uuid] = domain
        lifecycle(domain, 'defined', before ? 'updated' : 'added')
        return picture(domain)
      }),
    startDomain: (uuid, { paused = false } = {}) =>
      change('startDomain', `${paused ? 'domain-start --paused' : 'domain-start'} ${nameOf(uuid)}`, () => {
        const domain = domainOf(uuid, 'domain-start')
        if (domain.live)
          throw libvirtFault(
            libvirtError.operationInvalid,
            'Requested operation is not valid: domain is already running',
            `domain-start ${domain.name}`,
          )
        const live = bootDevices(parseXml(domain.definition), world.nextId)
        const taps: string[] = []
        try {
          for (const card of find(live, 'devices', 'interface')) {
            const tap = first(card, 'target')!.attributes.dev!
            options.network?.addTap(tap, first(card, 'source')?.attributes.bridge ?? '')
            taps.push(tap)
          }
        } catch (error) {
          for (const tap of taps) options.network?.removeTap(tap)
          throw error instanceof Fault
            ? error
            : libvirtFault(libvirtError.internal, (error as Error).message, `domain-start ${domain.name}`)
        }
        const restored = domain.saved
        domain.saved = false
        domain.id = world.nextId++
        domain.live = printXml(live)
        domain.memoryKiB = Number(first(live, 'memory')!.text)
        domain.vcpus = Number(first(live, 'vcpu')?.text ?? 1)
        domain.startedAt = Date.now()
        const log = find(live, 'devices', 'serial', 'log')[0]?.attributes.file
        if (log) writeLog(log, bootMessages(domain.name))
        become(domain, paused ? 'paused' : 'running', paused ? 'user' : restored ? 'restored' : 'booted')
        lifecycle(domain, 'started', restored ? 'restored' : 'booted')
        return picture(domain)
      }),
    destroyDomain: (uuid) =>
      change('destroyDomain', `domain-destroy ${nameOf(uuid)}`, () => stop(running(uuid, 'domain-destroy'), 'destroyed')),
    undefineDomain: (uuid) =>
      change('undefineDomain', `domain-undefine ${nameOf(uuid)}`, () => {
        const domain = domainOf(uuid, 'domain-undefine')
        delete world.domains[uuid]
        if (domain.live) stop(domain, 'destroyed')
        lifecycle(domain, 'undefined', 'removed')
      }),
    shutdownDomain: (uuid) =>
      change('shutdownDomain', `domain-shutdown ${nameOf(uuid)}`, () => {
        running(uuid, 'domain-shutdown')
        if (twin.acpi) setImmediate(() => world.domains[uuid]?.live && twin.guest(uuid, 'shuts-down'))
      }),
    rebootDomain: (uuid) => change('rebootDomain', `domain-reboot ${nameOf(uuid)}`, () => void running(uuid, 'domain-reboot')),
    resetDomain: (uuid) => change('resetDomain', `domain-reset ${nameOf(uuid)}`, () => void running(uuid, 'domain-reset')),
    suspendDomain: (uuid) =>
      change('suspendDomain', `domain-suspend ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'domain-suspend')
        if (domain.state === 'paused') return
        become(domain, 'paused', 'user')
        lifecycle(domain, 'suspended', 'paused')
      }),
    resumeDomain: (uuid) =>
      change('resumeDomain', `domain-resume ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'domain-resume')
        if (domain.state !== 'paused') return
        become(domain, 'running', 'unpaused')
        lifecycle(domain, 'resumed', 'unpaused')
      }),
    saveDomain: (uuid) =>
      change('saveDomain', `domain-managedsave ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'domain-managedsave')
        domain.saved = true
        stop(domain, 'saved')
      }),
    hasSaved: (uuid) => look('hasSaved', () => domainOf(uuid).saved),
    removeSaved: (uuid) =>
      change('removeSaved', `domain-managedsave-remove ${nameOf(uuid)}`, () => {
        domainOf(uuid, 'domain-managedsave-remove').saved = false
      }),
    domainInfo: (uuid) =>
      look('domainInfo', () => {
        const domain = domainOf(uuid)
        const root = parseXml(current(domain))
        const maxMemoryKiB = Number(first(root, 'memory')!.text)
        return {
          ...picture(domain),
          maxMemoryKiB,
          memoryKiB: domain.live ? domain.memoryKiB : maxMemoryKiB,
          vcpus: domain.live ? domain.vcpus : Number(first(root, 'vcpu')?.text ?? 1),
          cpuTimeNs: domain.live ? (Date.now() - domain.startedAt) * 1e6 : 0,
        }
      }),
    domainXml: (uuid, { inactive = false } = {}) =>
      look('domainXml', () => {
        const domain = domainOf(uuid)
        return inactive ? domain.definition : current(domain)
      }),

    setMemory: (uuid, mib, affect) =>
      change('setMemory', `setmem ${mib}MiB${shown(affect)} ${nameOf(uuid)}`, () => {
        const domain = affect.live ? running(uuid, 'setmem') : domainOf(uuid, 'setmem')
        if (affect.live) domain.memoryKiB = mib * 1024
        if (affect.config) domain.definition = domain.definition.replace(/(<currentMemory[^>]*>)\d+/, `$1${mib * 1024}`)
      }),
    memoryStats: (uuid) =>
      look('memoryStats', () => {
        const domain = running(uuid, 'memstat')
        return { actual: domain.memoryKiB, rss: domain.memoryKiB }
      }),
    setVcpus: (uuid, vcpus, affect) =>
      change('setVcpus', `setvcpus ${vcpus}${shown(affect)} ${nameOf(uuid)}`, () => {
        const domain = affect.live ? running(uuid, 'setvcpus') : domainOf(uuid, 'setvcpus')
        if (affect.live) domain.vcpus = vcpus
        if (affect.config) domain.definition = domain.definition.replace(/(<vcpu[^>]*>)\d+/, `$1${vcpus}`)
      }),
    screenshot: (uuid) =>
      look('screenshot', () => {
        running(uuid, 'screenshot')
        return { mime: 'image/png', data: Buffer.from(PIXEL, 'base64') }
      }),
    setUserPassword: (uuid, user) =>
      change('setUserPassword', `set-user-password ${user} ${nameOf(uuid)}`, () => agentOf(uuid, 'set-user-password')),

    monitorCommand: (uuid, { execute }) =>
      change('monitorCommand', `qemu-monitor-command ${execute} ${nameOf(uuid)}`, () => {
        const { state, name } = running(uuid, 'qemu-monitor-command')
        if (execute === 'query-status') return { status: state, running: state === 'running', singlestep: false }
        if (execute === 'inject-nmi') return {}
        throw libvirtFault(
          libvirtError.operationFailed,
          `The command ${execute} has not been found`,
          `qemu-monitor-command ${execute} ${name}`,
        )
      }),
    agentCommand: (uuid, { execute }) =>
      change('agentCommand', `qemu-agent-command ${execute} ${nameOf(uuid)}`, () => {
        agentOf(uuid, 'qemu-agent-command')
        return {}
      }),

    onEvent: made.onEvent,
    close: () => made.listeners.clear(),

    failOn: made.failOn,
    setUp: made.setUp,
    guest(uuid, does) {
      const domain = running(uuid, 'guest')
      if (does === 'shuts-down') {
        lifecycle(domain, 'shutdown', 'guest')
        stop(domain, 'shutdown')
      } else if (does === 'crashes') stop(domain, 'crashed')
      else if (does === 'io-error') {
        become(domain, 'paused', 'io-error')
        lifecycle(domain, 'suspended', 'io-error')
      }
      save()
    },
    changes: () => [...made.changes],
    secretValue(uuid) {
      const value = world.secrets[uuid]?.value
      return value ? Buffer.from(value, 'base64') : undefined
    },
  }
  return twin
}

/** Where the server's directory is there, as libvirt does not make it. */
function writeLog(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

export type { LibvirtCall, SimulatedLibvirtOptions } from './simulated-world.ts'
