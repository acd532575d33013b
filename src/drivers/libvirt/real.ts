import type { Domain, Libvirt } from './driver.ts'
import { libvirtError, libvirtFault } from './errors.ts'
import { DOMAIN_STATES, flags, MEMORY_STATS, procedures, STATE_REASONS } from './procedures.ts'
import { bytesOf, libvirtCalls, noArgs, noFlags, quiet, type RealLibvirtOptions } from './real-calls.ts'
import { affectFlags, realDevices, realDisks, shown } from './real-devices.ts'
import { realMigration } from './real-migration.ts'
import { realSecrets } from './real-secrets.ts'
import { type XdrReader, XdrWriter } from './xdr.ts'

const NONE = Buffer.alloc(0)

/** libvirtd over its own protocol on its unix socket. Nothing is connected until the first call or listener. */
export function realLibvirt(options: RealLibvirtOptions = {}): Libvirt {
  const calls = libvirtCalls(options)
  const { ask, onDomain, named, readRef, long } = calls

  async function withState(ref: { name: string; uuid: string; id: number }): Promise<Domain> {
    return await onDomain(
      procedures.domainGetState,
      'domain-state',
      ref.uuid,
      noFlags,
      (reply) => ({ ...ref, ...stateOf(reply.int(), reply.int()) }),
      quiet,
    )
  }

  const json = (command: object) => JSON.stringify(command)

  function onDomainLookup(uuid: string) {
    return ask(procedures.domainLookupByUuid, `lookup ${named(uuid)}`, new XdrWriter().fixed(bytesOf(uuid)).done(), readRef, quiet)
  }

  return {
    ...realDevices(calls),
    ...realDisks(calls),
    ...realSecrets(calls),
    ...realMigration(calls),
    async version() {
      const hypervisor = await ask(procedures.connectGetVersion, 'version', NONE, (reply) => reply.hyper(), quiet)
      const libvirt = await ask(procedures.connectGetLibVersion, 'lib-version', NONE, (reply) => reply.hyper(), quiet)
      return { libvirt, hypervisor }
    },
    hostname: () => ask(procedures.connectGetHostname, 'hostname', NONE, (reply) => reply.string(), quiet),
    nodeInfo: () =>
      ask(
        procedures.nodeGetInfo,
        'node-info',
        NONE,
        (reply) => {
          const characters = Array.from({ length: 32 }, () => reply.int())
          const model = String.fromCharCode(...characters.slice(0, characters.indexOf(0)))
          const memoryMiB = Math.floor(reply.hyper() / 1024)
          const [cpus, mhz, nodes, sockets, cores, threads] = Array.from({ length: 6 }, () => reply.int()) as [
            number,
            number,
            number,
            number,
            number,
            number,
          ]
          return { model, memoryMiB, cpus, mhz, nodes, sockets, cores, threads }
        },
        quiet,
      ),
    capabilities: () => ask(procedures.connectGetCapabilities, 'capabilities', NONE, (reply) => reply.string(), quiet),
    domainCapabilities: ({ type, arch, machine, emulator }) =>
      ask(
        procedures.connectGetDomainCapabilities,
        `domain-capabilities ${type}`,
        new XdrWriter().optionalString(emulator).optionalString(arch).optionalString(machine).optionalString(type).int(0).done(),
        (reply) => reply.string(),
        quiet,
      ),

    listDomains: () =>
      ask(
        procedures.connectGetAllDomainStats,
        'list',
        new XdrWriter().int(0).int(flags.statsState).int(0).done(),
        (reply) =>
          reply.list(() => {
            const ref = readRef(reply)
            const values = new Map(reply.list(() => [reply.string(), typedValue(reply)]))
            return { ...ref, ...stateOf(Number(values.get('state.state')), Number(values.get('state.reason'))) }
          }),
        quiet,
      ),
    domainByUuid: async (uuid) => withState(await onDomainLookup(uuid)),
    domainByName: async (name) =>
      withState(await ask(procedures.domainLookupByName, `lookup ${name}`, new XdrWriter().string(name).done(), readRef, quiet)),
    async defineDomain(xml) {
      const name = /<name>([^<]*)<\/name>/.exec(xml)?.[1] ?? '?'
      return withState(await ask(procedures.domainDefineXml, `domain-define ${name}`, new XdrWriter().string(xml).int(0).done(), readRef))
    },
    async startDomain(uuid, { paused = false } = {}) {
      const call = paused ? 'domain-start --paused' : 'domain-start'
      return withState(
        await onDomain(procedures.domainCreate, call, uuid, (writer) => writer.int(paused ? flags.startPaused : 0), readRef, long),
      )
    },
    destroyDomain: (uuid) => onDomain(procedures.domainDestroy, 'domain-destroy', uuid, noFlags, undefined, long),
    undefineDomain: (uuid) =>
      onDomain(procedures.domainUndefine, 'domain-undefine', uuid, (writer) =>
        writer.int(flags.undefineManagedSave | flags.undefineSnapshots | flags.undefineNvram | flags.undefineCheckpoints),
      ),
    shutdownDomain: (uuid) => onDomain(procedures.domainShutdown, 'domain-shutdown', uuid, (writer) => writer.int(flags.shutdownAcpi)),
    rebootDomain: (uuid) => onDomain(procedures.domainReboot, 'domain-reboot', uuid, (writer) => writer.int(flags.shutdownAcpi)),
    resetDomain: (uuid) => onDomain(procedures.domainReset, 'domain-reset', uuid, noFlags),
    suspendDomain: (uuid) => onDomain(procedures.domainSuspend, 'domain-suspend', uuid, noArgs),
    resumeDomain: (uuid) => onDomain(procedures.domainResume, 'domain-resume', uuid, noArgs),
    saveDomain: (uuid) => onDomain(procedures.domainManagedSave, 'domain-managedsave', uuid, noFlags, undefined, long),
    hasSaved: (uuid) =>
      onDomain(procedures.domainHasManagedSave, 'domain-has-managedsave', uuid, noFlags, (reply) => reply.int() === 1, quiet),
    removeSaved: (uuid) => onDomain(procedures.domainManagedSaveRemove, 'domain-managedsave-remove', uuid, noFlags),
    async domainInfo(uuid) {
      const domain = await withState(await onDomainLookup(uuid))
      return await onDomain(
        procedures.domainGetInfo,
        'domain-info',
        uuid,
        noArgs,
        (reply) => {
          reply.int() // the state, which is known with its reason
          return {
            ...domain,
            maxMemoryKiB: reply.hyper(),
            memoryKiB: reply.hyper(),
            vcpus: reply.int(),
            cpuTimeNs: reply.hyper(),
          }
        },
        quiet,
      )
    },
    domainXml: (uuid, { inactive = false } = {}) =>
      onDomain(
        procedures.domainGetXml,
        'domain-xml',
        uuid,
        (writer) => writer.int(inactive ? flags.xmlInactive : 0),
        (reply) => reply.string(),
        quiet,
      ),

    setMemory: (uuid, mib, affect) =>
      onDomain(procedures.domainSetMemory, `setmem ${mib}MiB${shown(affect)}`, uuid, (writer) =>
        writer.hyper(mib * 1024).int(affectFlags(affect)),
      ),
    memoryStats: (uuid) =>
      onDomain(
        procedures.domainMemoryStats,
        'memstat',
        uuid,
        (writer) => writer.int(MEMORY_STATS.length).int(0),
        (reply) => Object.fromEntries(reply.list(() => [MEMORY_STATS[reply.int()] ?? 'other', reply.hyper()])),
        quiet,
      ),
    setVcpus: (uuid, vcpus, affect) =>
      onDomain(procedures.domainSetVcpus, `setvcpus ${vcpus}${shown(affect)}`, uuid, (writer) =>
        writer.int(vcpus).int(affectFlags(affect)),
      ),
    screenshot: (uuid) =>
      onDomain(
        procedures.domainScreenshot,
        'screenshot',
        uuid,
        (writer) => writer.int(0).int(0),
        (reply, data) => ({ mime: reply.optionalString() ?? 'application/octet-stream', data }),
        { stream: true },
      ),
    setUserPassword: (uuid, user, password) =>
      onDomain(procedures.domainSetUserPassword, `set-user-password ${user}`, uuid, (writer) =>
        writer.optionalString(user).optionalString(password).int(0),
      ),

    monitorCommand: (uuid, command) =>
      onDomain(
        procedures.monitorCommand,
        `qemu-monitor-command ${command.execute}`,
        uuid,
        (writer) => writer.string(json(command)).int(0),
        (reply) => {
          const answer = JSON.parse(reply.string())
          if (answer.error)
            throw libvirtFault(libvirtError.operationFailed, answer.error.desc, `qemu-monitor-command ${command.execute} ${named(uuid)}`)
          return answer.return
        },
      ),
    agentCommand: (uuid, command, agentTimeoutMs = 5_000) =>
      onDomain(
        procedures.agentCommand,
        `qemu-agent-command ${command.execute}`,
        uuid,
        (writer) =>
          writer
            .string(json(command))
            .int(Math.max(1, Math.ceil(agentTimeoutMs / 1000)))
            .int(0),
        (reply) => JSON.parse(reply.optionalString() ?? '{}').return,
      ),

    onEvent: calls.onEvent,
    close: calls.close,
  }
}

function stateOf(state: number, reason: number): Pick<Domain, 'state' | 'reason'> {
  const name = DOMAIN_STATES[state] ?? 'nostate'
  return { state: name, reason: STATE_REASONS[name][reason] ?? 'unknown' }
}

function typedValue(reply: XdrReader): number | string {
  const type = reply.int()
  if (type === 3) return reply.signedHyper()
  if (type === 4) return reply.hyper()
  if (type === 5) return reply.double()
  if (type === 7) return reply.string()
  return reply.int() // 1 signed, 2 unsigned, 6 boolean
}

export type { RealLibvirtOptions } from './real-calls.ts'
