import { existsSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { hierarchies } from './cgroups.ts'
import { type Kvm, probeKvm } from './kvm.ts'
import { knowsModule } from './modules.ts'

export interface MachineFacts {
  kvm: Kvm
  /** `system`: the kernel's Open vSwitch; `netdev`: the one in userspace. */
  datapath: 'system' | 'netdev'
  deviceMapper: boolean
  /** The kernel's own; QEMU brings another. */
  iscsiInitiator: boolean
  nbd: boolean
  loop: boolean
  /** Version of the control groups that limit guests: 0 where there are none for processor and memory. */
  cgroups: 0 | 1 | 2
  cpus: number
  memoryMib: number
  /** Where the state directory is. */
  diskFreeGib: number
  /** What is not there, and what that means; one plain sentence each. */
  missing: string[]
}

/** What this machine is. Changes nothing but the file in `stateDir` that remembers whether KVM works. @throws Fault when QEMU is not installed */
export async function probeMachine({ stateDir }: { stateDir: string }): Promise<MachineFacts> {
  const [kvm, openvswitch, deviceMapper, iscsiInitiator, nbd, loop, disk] = await Promise.all([
    probeKvm({ cacheFile: join(stateDir, 'kvm.json') }),
    knowsModule('openvswitch'),
    hasDevice('device-mapper').then((has) => has || knowsModule('dm_mod')),
    knowsModule('iscsi_tcp'),
    existsSync('/dev/nbd0') || knowsModule('nbd'),
    existsSync('/dev/loop-control') || knowsModule('loop'),
    statfs(stateDir),
  ])
  const facts = {
    kvm,
    datapath: openvswitch ? ('system' as const) : ('netdev' as const),
    deviceMapper,
    iscsiInitiator,
    nbd,
    loop,
    cgroups: cgroupVersion(),
    cpus: availableParallelism(),
    memoryMib: Math.floor(totalmem() / 2 ** 20),
    diskFreeGib: Math.floor((disk.bavail * disk.bsize) / 2 ** 30),
  }
  return { ...facts, missing: sentences(facts) }
}

/** What a user should know of the facts. */
export function sentences(facts: Omit<MachineFacts, 'missing'>): string[] {
  return [
    facts.kvm.usable ? '' : facts.kvm.why,
    facts.datapath === 'system' ? '' : 'The kernel has no module openvswitch: switches run in userspace, which is slower.',
    facts.deviceMapper ? '' : 'The kernel has no device mapper: volumes are files, and the LVM back end cannot be used.',
    facts.iscsiInitiator ? '' : 'The kernel has no iSCSI initiator: guests reach their volumes through the one in QEMU.',
    facts.nbd ? '' : 'The kernel has no network block devices: files are put into images without mounting them.',
    facts.loop ? '' : 'The kernel has no loop devices: raw files cannot be used as disks of this machine.',
    facts.cgroups > 0 ? '' : 'There are no control groups for processor and memory: limits of guests on them are not enforced.',
  ].filter(Boolean)
}

async function hasDevice(name: string): Promise<boolean> {
  return readFileSync('/proc/misc', 'utf8')
    .split('\n')
    .some((line) => line.trim().endsWith(` ${name}`))
}

function cgroupVersion(): 0 | 1 | 2 {
  const all = hierarchies()
  const first = all.filter(({ version }) => version === 1).flatMap(({ options }) => options.split(','))
  if (first.includes('cpu') && first.includes('memory')) return 1
  const second = all.find(({ version }) => version === 2)
  const controllers = second ? readFileSync(join(second.mountpoint, 'cgroup.controllers'), 'utf8').trim().split(' ') : []
  return controllers.includes('cpu') && controllers.includes('memory') ? 2 : 0
}
