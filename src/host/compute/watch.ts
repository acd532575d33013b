import { COMPUTE_CONTROL, control, type PowerState } from '../../compute/rpc.ts'
import type { LibvirtEvent } from '../../drivers/libvirt/driver.ts'
import { powerOf } from './power-states.ts'
import type { World } from './world.ts'

type Lifecycle = LibvirtEvent & { kind: 'lifecycle' }

const POWER: Partial<Record<Lifecycle['event'], (reason: string) => PowerState>> = {
  started: () => 'running',
  resumed: () => 'running',
  suspended: () => 'paused',
  pmsuspended: () => 'suspended',
  crashed: () => 'crashed',
  stopped: (reason) => (reason === 'saved' ? 'suspended' : reason === 'crashed' ? 'crashed' : 'shutdown'),
}

/**
 * Tells control what guests do, in the order in which they do it; what happened while libvirt was not heard is made out from how they are now. Returns how to stop: what was not told by then
 * is found out at the next start.
 */
export function watchGuests(world: World, onChange: () => void): () => void {
  const { options, domains, machine } = world
  const { bus, log, host } = options
  const last = new Map<string, PowerState>()
  let queue = Promise.resolve()
  let stopped = false

  async function tell(uuid: string, powerState: PowerState, event: string, at: string): Promise<void> {
    last.set(uuid, powerState)
    await bus.call(COMPUTE_CONTROL, control.powerChanged, { host, uuid, powerState, event, at })
  }

  async function heard(event: Lifecycle, at: string): Promise<void> {
    if (event.event === 'undefined') {
      last.delete(event.uuid)
      domains.forget(event.uuid)
      return
    }
    const powerState = POWER[event.event]?.(event.reason)
    if (powerState && (await domains.isOwn(event))) await tell(event.uuid, powerState, `${event.event} ${event.reason}`, at)
  }

  async function catchUp(at: string): Promise<void> {
    for (const domain of await domains.list()) {
      const powerState = await powerOf(machine.libvirt, domain)
      const before = last.get(domain.uuid)
      last.set(domain.uuid, powerState)
      if (before !== undefined && before !== powerState) await tell(domain.uuid, powerState, `${domain.state} ${domain.reason}`, at)
    }
  }

  const later = (work: () => Promise<void>) => {
    const unlessStopped = async () => {
      if (!stopped) await work()
    }
    queue = queue.then(unlessStopped).catch((error) => log.warn({ err: error }, 'control did not hear what a guest did'))
  }

  const unlisten = machine.libvirt.onEvent((event) => {
    const at = new Date().toISOString()
    if (event.kind === 'connection') {
      if (event.up) later(() => catchUp(at))
      else log.warn('libvirt is away: guests run on, and nothing can be changed until it is back')
    } else if (event.kind === 'lifecycle') later(() => heard(event, at))
    else return
    onChange()
  })
  return () => {
    stopped = true
    unlisten()
  }
}
