import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { badRequest } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { adopt, createIsolation, type Isolation, type IsolationOptions, removeIfEmpty, sweep } from './isolation.ts'
import type { Boot } from './lab-boot.ts'
import { alive, markOf, type ProcessMark, pidNamespace } from './processes.ts'

const BOOT = join(import.meta.dirname, 'lab-boot.ts')
/** Where each host keeps what is its own; the same path on all, as disks of guests that move need it. */
export const LAB_STATE = '/run/yun-lab'
/** A range for tests of networks, which no office has. */
const UNDERLAY = { prefix: '198.18.50', mtu: 1600 }
const PROVIDER = { gateway: '172.24.4.1/24', mtu: 1500 }
const MOST_HOSTS = 50
const OUTSIDE = 'outside'

export interface LabMachine {
  /** Its host name: node1, node2, … with daemons, control1, … without. */
  readonly name: string
  /** Where its tunnels end, and where the other machines reach it. */
  readonly address: string
  /** After a power-off and a power-on it is another one. */
  readonly machine: Isolation
  /** Every process in it ends at once and its links are gone; its files stay. */
  powerOff(): Promise<void>
  /** Comes up with the files that it had. */
  powerOn(): Promise<void>
  /** Pulls the cables out, or puts them back in. */
  cut(off: boolean): Promise<void>
}

/**
 * Several machines inside this one, each with its own network, processes, Open vSwitch, libvirt and iSCSI target. Two bridges join them: one for the tunnels, one that
 * plays the provider's network. Both are in a further machine, the outside, which also has the provider's gateway address: whoever calls from the world calls from there.
 */
export interface Lab {
  readonly dir: string
  /** With Open vSwitch, libvirt and an iSCSI target. */
  readonly hosts: LabMachine[]
  /** With nothing but an address, for control processes. */
  readonly controls: LabMachine[]
  readonly outside: Isolation
  /** Where the hosts reach the machine that the lab is in, and from where it reaches them: control processes, databases and brokers of a lab run there. */
  readonly hereAddress: string
  /** Cuts these machines off from each other and from nobody else, or lets them meet again. */
  part(machines: LabMachine[], apart: boolean): Promise<void>
  /** Leaves nothing. Harmless when repeated. */
  destroy(): Promise<void>
}

/** Makes `count` hosts and `controls` machines for control processes below `parent`. They end with this process, even when it is killed; what it then leaves is removed by {@link sweepLabs}. */
export async function createLab({ parent, count, controls = 0 }: { parent: string; count: number; controls?: number }): Promise<Lab> {
  if (!Number.isInteger(count) || count < 1 || count > MOST_HOSTS)
    throw badRequest(`a lab of ${count} hosts: a whole number from 1 to ${MOST_HOSTS} is needed`, 'Usage')
  mkdirSync(parent, { recursive: true })
  await sweepLabs(parent)
  const name = `lab-${randomBytes(3).toString('hex')}`
  const dir = join(parent, name)
  mkdirSync(dir)
  writeFileSync(ownerFile(dir), JSON.stringify({ ...markOf(process.pid)!, pidNamespace: pidNamespace() } satisfies Owner))
  const here = name.replace('lab-', 'yunlab-')
  const destroy = async () => {
    await exec('ip', ['link', 'delete', here], { ok: [0, 1, 2] })
    await Promise.all(machinesIn(dir).map((machine) => adopt(machine.name, machine.dir)?.destroy()))
    await sweep(dir)
    rmSync(dir, { recursive: true, force: true })
    removeIfEmpty(parent)
  }
  try {
    const outside = await machine(dir, OUTSIDE)
    await exec('nsenter', [...network(outside), 'sh', '-c', OUTSIDE_LINKS, 'sh', String(UNDERLAY.mtu), outsideAddress, PROVIDER.gateway])
    await linkHere(here, outside)
    const plans = [...placesOf(count, hostPlan), ...placesOf(controls, controlPlan)]
    const names = Object.fromEntries(plans.map(({ name, address }) => [name, address]))
    const machines = await Promise.all(plans.map((plan) => createMachine({ dir, plan, names, outside })))
    const part = async (those: LabMachine[], apart: boolean) => {
      for (const { name } of those) {
        const { far } = plans.find((plan) => plan.name === name)!.wires[0]!
        await exec('nsenter', [...network(outside), 'ip', 'link', 'set', far, 'type', 'bridge_slave', 'isolated', apart ? 'on' : 'off'])
      }
    }
    return { dir, hosts: machines.slice(0, count), controls: machines.slice(count), outside, hereAddress, part, destroy }
  } catch (error) {
    await destroy()
    throw error
  }
}

/** Removes what is left of labs below `parent` whose process is gone. */
export async function sweepLabs(parent: string): Promise<void> {
  for (const entry of existsSync(parent) ? readdirSync(parent) : []) {
    const dir = join(parent, entry)
    const owner = ownerOf(dir)
    if (!owner || owner.pidNamespace !== pidNamespace() || alive(owner)) continue
    // the last of its machines may still be on their way out
    for (const left of machinesIn(dir)) await adopt(left.name, left.dir)?.destroy()
    await sweep(dir)
    rmSync(dir, { recursive: true, force: true })
  }
}

type Owner = ProcessMark & { pidNamespace: string }
const ownerFile = (dir: string) => join(dir, 'lab.json')
function ownerOf(dir: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(ownerFile(dir), 'utf8'))
  } catch {
    return undefined
  }
}

interface Plan {
  name: string
  address: string
  /** Its links: the near end is in it, the far end in a bridge of the outside. The first leads to the underlay. */
  wires: { near: string; far: string; bridge: string; mtu: number }[]
  boot(machine: Isolation): Promise<unknown>
}

const placesOf = (count: number, plan: (number: number) => Plan) => Array.from({ length: count }, (_, i) => plan(i + 1))

function hostPlan(number: number): Plan {
  const address = `${UNDERLAY.prefix}.${number}`
  const boot: Boot = {
    address: `${address}/24`,
    daemons: { stateDir: LAB_STATE, tgt: { controlPort: 7, portal: `${address}:3260` } },
  }
  return {
    name: `node${number}`,
    address,
    wires: [
      { near: 'eth0', far: `u${number}`, bridge: 'underlay', mtu: UNDERLAY.mtu },
      { near: 'eth1', far: `p${number}`, bridge: 'provider', mtu: PROVIDER.mtu },
    ],
    boot: (machine) => machine.run(process.execPath, [BOOT, JSON.stringify(boot)], { timeoutMs: 60_000 }),
  }
}

function controlPlan(number: number): Plan {
  const address = `${UNDERLAY.prefix}.${200 + number}`
  return {
    name: `control${number}`,
    address,
    wires: [{ near: 'eth0', far: `c${number}`, bridge: 'underlay', mtu: UNDERLAY.mtu }],
    async boot(machine) {
      await machine.run('ip', ['address', 'replace', `${address}/24`, 'dev', 'eth0'])
      await machine.run('ip', ['link', 'set', 'eth0', 'up'])
    },
  }
}

const hereAddress = `${UNDERLAY.prefix}.253`
const outsideAddress = `${UNDERLAY.prefix}.254/24`
/** Of the lab and the machine in it. */
const isolationName = (dir: string, hostname: string) => `${dir.slice(dir.lastIndexOf('/') + 1)}-${hostname}`
const network = ({ pid }: Isolation) => ['--target', String(pid), '--net', '--']

const machinesIn = (dir: string) =>
  (existsSync(dir) ? readdirSync(dir, { withFileTypes: true }) : [])
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name: isolationName(dir, name), dir: join(dir, name) }))

const machine = (dir: string, hostname: string, options: Partial<IsolationOptions> = {}) =>
  createIsolation({ name: isolationName(dir, hostname), dir: join(dir, hostname), hostname, bound: true, ...options })

const OUTSIDE_LINKS = `set -e
ip link add underlay mtu "$1" type bridge
ip link add provider type bridge
ip address add "$2" dev underlay
ip address add "$3" dev provider
ip link set underlay up
ip link set provider up`

async function linkHere(name: string, outside: Isolation): Promise<void> {
  const mtu = String(UNDERLAY.mtu)
  await exec('ip', ['link', 'add', name, 'mtu', mtu, 'type', 'veth', 'peer', 'name', 'here', 'mtu', mtu, 'netns', String(outside.pid)])
  await exec('nsenter', [...network(outside), 'ip', 'link', 'set', 'here', 'master', 'underlay', 'up'])
  await exec('ip', ['address', 'add', `${hereAddress}/24`, 'dev', name])
  await exec('ip', ['link', 'set', name, 'up'])
  await exec('ethtool', ['-K', name, 'tx', 'off']) // as with the hosts' links
}

async function createMachine(place: { dir: string; plan: Plan; names: Record<string, string>; outside: Isolation }): Promise<LabMachine> {
  const { dir, plan, names, outside } = place
  const { name, address, wires } = plan
  const outsideIp = (...args: string[]) => exec('nsenter', [...network(outside), 'ip', ...args])
  let current: Isolation
  const powerOn = async () => {
    current = await machine(dir, name, { names, kept: [LAB_STATE] })
    for (const { near, far, bridge, mtu } of wires) {
      const ends = ['mtu', String(mtu), 'netns', String(outside.pid), 'type', 'veth', 'peer', 'name', near]
      await exec('ip', ['link', 'add', far, ...ends, 'mtu', String(mtu), 'netns', String(current.pid)])
      await outsideIp('link', 'set', far, 'master', bridge, 'up')
      // a switch in userspace passes frames on without the checksum that the kernel left for later
      for (const [end, link] of [[outside, far] as const, [current, near] as const])
        await exec('nsenter', [...network(end), 'ethtool', '-K', link, 'tx', 'off'])
    }
    await plan.boot(current)
  }
  await powerOn()
  return {
    name,
    address,
    get machine() {
      return current
    },
    powerOn,
    async powerOff() {
      await current.powerOff()
      // the kernel takes its time with the links of a network that nobody is in any more
      for (const { far } of wires) await outsideIp('link', 'delete', far).catch(() => {})
    },
    async cut(off) {
      for (const { far } of wires) await outsideIp('link', 'set', far, off ? 'down' : 'up')
    },
  }
}
