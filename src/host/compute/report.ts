import { COMPUTE_CONTROL, control, type HostState, type PowerState } from '../../compute/rpc.ts'
import { VERSION } from './domain-description.ts'
import { isActive, powerOf } from './power-states.ts'
import type { ResourceTracker } from './resource-tracker.ts'
import type { World } from './world.ts'

/** ms from a change to its report, and at least from one report to the next: a boot is many changes, and what happens together is told together. */
const SOON_MS = 50
const APART_MS = 500
/** ms from a change that another follows as a rule. */
const SOMETIME_MS = 1_000
const EVERY_MS = 30_000

export async function hostState(world: World, tracker: ResourceTracker, ioOps: number, startedAt: string): Promise<HostState> {
  const { options, facts, domains, machine } = world
  const [fact, disk, own] = await Promise.all([facts.get(), facts.disk(), domains.list()])
  const used = tracker.used()
  const powers = await Promise.all(own.map((domain) => powerOf(machine.libvirt, domain)))
  return {
    host: options.host,
    hypervisorHostname: options.host,
    hypervisorType: 'QEMU',
    hypervisorVersion: fact.hypervisorVersion,
    supportedInstances: fact.supportedInstances,
    cpuModel: fact.cpuModel,
    cpuFeatures: fact.cpuFeatures,
    vcpus: fact.vcpus,
    memoryMiB: fact.memoryMiB,
    diskGiB: disk.diskGiB,
    vcpusUsed: used.vcpus,
    memoryMiBUsed: used.memoryMiB,
    diskGiBUsed: used.diskGiB,
    freeDiskGiB: disk.freeDiskGiB,
    runningVms: own.filter(isActive).length,
    ioOps,
    hostIp: options.hostIp,
    kvm: options.kvm.works,
    notice: options.kvm.works ? null : options.kvm.reason,
    instances: {
      ...Object.fromEntries(tracker.claims().map((uuid): [string, PowerState] => [uuid, 'nostate'])),
      ...Object.fromEntries(own.map(({ uuid }, index): [string, PowerState] => [uuid, powers[index]!])),
    },
    startedAt,
    version: VERSION,
  }
}

/** Tells control how the host is: at once when something changed, and every half minute to show that it lives. */
export function reporter(world: World, state: () => Promise<HostState>) {
  const { bus, log, reportEveryMs = EVERY_MS } = world.options
  let regular: NodeJS.Timeout | undefined
  let next: NodeJS.Timeout | undefined
  let due = 0
  let underWay: Promise<void> | undefined
  let stopped = true
  let last = Number.NEGATIVE_INFINITY

  async function send(): Promise<void> {
    try {
      await bus.call(COMPUTE_CONTROL, control.hostReport, await state())
    } catch (error) {
      log.warn({ err: error }, 'control did not hear how this host is')
    }
  }

  function within(ms: number): void {
    const at = Math.max(performance.now() + ms, last + APART_MS)
    if (stopped || (next && due <= at)) return
    clearTimeout(next)
    due = at
    next = setTimeout(() => {
      next = undefined // what changes while this one is on its way asks for another
      last = performance.now()
      underWay = (underWay ?? Promise.resolve()).then(send)
    }, at - performance.now())
    next.unref()
  }

  const soon = () => within(SOON_MS)

  return {
    soon,
    /** Of a guest that is still to come: it is told with that one, or by itself if that does not come. */
    sometime: () => within(SOMETIME_MS),
    start() {
      stopped = false
      soon()
      regular = setInterval(soon, reportEveryMs)
      regular.unref()
    },
    async stop() {
      stopped = true
      clearInterval(regular)
      clearTimeout(next)
      await underWay
    },
  }
}
