import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { HOST_ROLES, type HostRole } from '../cluster/client.ts'
import { COMPUTE_CONTROL, control as messages } from '../compute/rpc.ts'
import { type ComputeHost, createComputeHost } from '../host/compute/agent.ts'
import { daemonKeeper } from '../host/machine/daemon-keeper.ts'
import { ensureDaemons } from '../host/machine/daemons.ts'
import { probeMachine } from '../host/machine/probe.ts'
import { NetworkHost } from '../host/network/agent.ts'
import type { NetworkHostSettings } from '../host/network/machine.ts'
import { createStorageAgent, type StorageAgent } from '../host/storage/agent.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import type { Log } from '../kernel/log/log.ts'
import type { Reconciler } from '../kernel/reconcile/reconciler.ts'
import type { Control } from './control.ts'
import { type HostDrivers, nameServers, realDrivers, type StorageDrivers, simulatedDrivers, storageDrivers, targetOf } from './drivers.ts'
import type { Secrets } from './secrets.ts'
import type { Settings } from './settings.ts'

export interface HostsOptions {
  settings: Settings
  ground: Ground
  secrets: Pick<Secrets, 'metadataSecret'>
  bus: Bus
  log: Log
  control: Pick<Control, 'images' | 'metadata'>
  /** What the hosts of this process do (default: everything). */
  roles?: readonly HostRole[]
}

export interface Hosts {
  /** What a user should know of this machine, in words. */
  notices: string[]
  stop(): Promise<void>
}

/** What the hosts stand on: the machines, looked at and with their daemons running, and the back end of volumes. */
export interface Ground {
  hosts: Host[]
  storage: StorageDrivers
  notices: string[]
}

/** Takes a while on a real machine and needs nothing of the services: the two come up side by side. `simulated`: how the drivers of a simulated host are made for its directory. */
export async function prepareGround(settings: Settings, log: Log, simulated = simulatedDrivers): Promise<Ground> {
  const notices: string[] = []
  const hosts = settings.hypervisor === 'simulated' ? simulatedHosts(settings, simulated) : [await thisMachine(settings, notices, log)]
  const storage = await storageDrivers(settings)
  if (storage.notice) notices.push(storage.notice)
  return { hosts, storage, notices }
}

interface Host {
  name: string
  directory: string
  drivers: HostDrivers
  kvm: { works: boolean; reason: string | null }
  /** Of a real machine: starts again what ends by itself. */
  daemons?: Reconciler
}

/** The agents of all hosts that live in this process, as far as their roles go; storage on the first. Returns when they have reported. */
export async function startHosts(options: HostsOptions): Promise<Hosts> {
  const { settings, bus, log, control, roles = HOST_ROLES } = options
  const has = (role: HostRole) => roles.includes(role)
  const { hosts, notices } = options.ground
  const computes: ComputeHost[] = []
  const networks: NetworkHost[] = []
  for (const host of hosts) {
    const machine = host.drivers
    const network = () =>
      new NetworkHost({
        settings: networkSettings(settings, host, has('network')),
        machine,
        bus,
        log: log.child({ host: host.name, agent: 'network' }),
        metadataSecret: options.secrets.metadataSecret,
        metadataApi: control.metadata,
      })
    const compute = () =>
      createComputeHost({
        bus,
        log: log.child({ host: host.name, agent: 'compute' }),
        host: host.name,
        hostIp: settings.address || '127.0.0.1',
        vncAddress: settings.address || '127.0.0.1',
        directory: join(host.directory, 'instances'),
        machine,
        images: control.images,
        simulated: settings.hypervisor === 'simulated',
        kvm: host.kvm,
        injection: settings.injection,
        ...(settings.hypervisor === 'simulated' ? { capacity: { vcpus: 64, memoryMiB: 262_144, diskGiB: 10_000 } } : {}),
      })
    if (has('network') || has('compute')) networks.push(network())
    if (has('compute')) computes.push(compute())
  }
  const storages = has('storage') ? [storageOf(options, hosts[0]!.name)] : []
  await Promise.all(networks.map((one) => one.start()))
  await Promise.all([...computes, ...storages].map((one) => one.start()))
  for (const one of computes) await bus.call(COMPUTE_CONTROL, messages.hostReport, await one.state())
  for (const host of hosts) host.daemons?.start()
  return {
    notices,
    async stop() {
      await Promise.all(hosts.map((host) => host.daemons?.stop()))
      await Promise.all([...computes, ...networks, ...storages].map((one) => one.stop()))
      await Promise.all(hosts.map((host) => host.drivers.close()))
    },
  }
}

/** Looks at what the machine can, and starts the daemons that do not run. */
async function thisMachine(settings: Settings, notices: string[], log: Log): Promise<Host> {
  const daemons = { stateDir: settings.stateDir, tgt: targetOf(settings) }
  const [facts] = await Promise.all([probeMachine({ stateDir: settings.stateDir }), ensureDaemons(daemons)])
  if (!facts.kvm.usable) notices.push(facts.kvm.why)
  notices.push(...facts.missing.filter((sentence) => sentence !== facts.kvm.why && !sentence.includes('device mapper'))) // of that the storage host tells
  return {
    name: settings.hostname,
    directory: settings.stateDir,
    drivers: realDrivers(settings.stateDir),
    kvm: { works: facts.kvm.usable, reason: facts.kvm.usable ? null : facts.kvm.why },
    daemons: daemonKeeper(daemons, log),
  }
}

function simulatedHosts(settings: Settings, driversOf: typeof simulatedDrivers): Host[] {
  const count = settings.simulatedHosts
  const names = count === 0 ? [settings.hostname] : Array.from({ length: count }, (_, i) => `node${i + 1}`)
  return names.map((name) => {
    const directory = join(settings.stateDir, 'simulated', name)
    mkdirSync(directory, { recursive: true, mode: 0o711 })
    return { name, directory, drivers: driversOf(directory), kvm: { works: false, reason: null } }
  })
}

const networkSettings = (settings: Settings, host: Host, serves: boolean): NetworkHostSettings => ({
  host: host.name,
  serves: { dhcp: serves, l3: serves },
  bridgeMappings: { public: 'br-ex' },
  tunnels: settings.address ? { address: settings.address, types: ['vxlan', 'gre'] } : { address: null, types: [] },
  external: { hostAddress: settings.external.gatewayHere !== false, masquerade: settings.external.gatewayHere !== false },
  dnsDomain: 'openstacklocal',
  upstreamDns: nameServers(),
  metadataSocket: join(host.directory, 'metadata.sock'),
  everyMs: settings.hypervisor === 'simulated' ? 60_000 : 8_000,
})

function storageOf({ settings, bus, log, control, ground }: HostsOptions, host: string): StorageAgent {
  const { backend, name, pool, notice, targets } = ground.storage
  return createStorageAgent({
    bus,
    log: log.child({ host, agent: 'storage' }),
    host,
    name,
    pool,
    backend,
    targets,
    images: control.images,
    workDirectory: join(settings.stateDir, 'volumes-work'),
    notice,
  })
}
