import { Fault } from '../../kernel/errors/errors.ts'
import { noteCommand } from '../../kernel/trace/trace.ts'
import { remembered } from '../remembered.ts'
import type { Affect, Domain, DomainState, Libvirt, LibvirtEvent, NodeInfo, Secret } from './driver.ts'
import { libvirtError, libvirtFault, libvirtUnavailable } from './errors.ts'
import { type Element, find, first, parseXml, printXml } from './xml.ts'

export interface SimulatedDomain extends Domain {
  definition: string
  /** What runs, with what libvirt adds to it; null while it does not run. */
  live: string | null
  saved: boolean
  memoryKiB: number
  vcpus: number
  startedAt: number
  /** Files that external snapshots put on top, by target: the ones below. */
  below: Record<string, string[]>
  jobs: Record<string, { type: 'active-commit' } | { type: 'copy'; to: string }>
}

interface World {
  nextId: number
  domains: Record<string, SimulatedDomain>
  secrets: Record<string, Secret & { value: string | null }>
}

/** The calls that can be told to fail. */
export type LibvirtCall = Exclude<keyof Libvirt, 'onEvent' | 'close'>

export interface SimulatedLibvirtOptions {
  /** Keeps the domains in this JSON file, so that they outlive the process as real ones do. */
  file?: string
  node?: Partial<NodeInfo>
  /** Whether its guests know ACPI (default): otherwise shutdown and reboot do nothing, and devices are not let go. */
  acpi?: boolean
  /** Hears of the tap devices that starting and stopping make and remove; throwing fails the start. */
  network?: { addTap(name: string, bridge: string): void; removeTap(name: string): void }
}

export type SimulatedWorld = ReturnType<typeof simulatedWorld>

/** What the calls of the twin stand on: the domains, who listens, what is to fail. */
export function simulatedWorld(options: SimulatedLibvirtOptions) {
  const memory = remembered<World>(options.file, { nextId: 1, domains: {}, secrets: {} })
  const world = memory.state
  const listeners = new Set<(event: LibvirtEvent) => void>()
  const failures = new Map<LibvirtCall, { error: Error; times: number }>()
  const changes: string[] = []
  let isUp = true

  // As with the real one, an event comes by a message of its own and not within the call.
  const emit = (event: LibvirtEvent) =>
    setImmediate(() => {
      for (const listener of listeners) listener(event)
    })

  function lifecycle(domain: SimulatedDomain, event: (LibvirtEvent & { kind: 'lifecycle' })['event'], reason: string) {
    emit({ kind: 'lifecycle', uuid: domain.uuid, name: domain.name, id: domain.id, event, reason })
  }

  function enter(call: LibvirtCall): void {
    if (!isUp) throw libvirtUnavailable('the simulated socket', 'it was taken down')
    const failure = failures.get(call)
    if (!failure) return
    if (--failure.times <= 0) failures.delete(call)
    throw failure.error
  }

  /** A call that changes something. `what` is how virsh would say it. */
  async function change<T>(call: LibvirtCall, what: string, action: () => T): Promise<T> {
    const started = performance.now()
    let output = ''
    try {
      enter(call)
      const result = action()
      changes.push(what)
      memory.save()
      return result
    } catch (error) {
      output = (error as Error).message
      throw error
    } finally {
      noteCommand({ what: `libvirt: ${what}`, ms: performance.now() - started, ...(output && { output }) })
    }
  }

  async function look<T>(call: LibvirtCall, action: () => T): Promise<T> {
    enter(call)
    return action()
  }

  function domainOf(uuid: string, what = 'lookup'): SimulatedDomain {
    const domain = world.domains[uuid]
    if (!domain) throw libvirtFault(libvirtError.noDomain, `Domain not found: no domain with matching uuid '${uuid}'`, `${what} ${uuid}`)
    return domain
  }
  const nameOf = (uuid: string) => world.domains[uuid]?.name ?? uuid

  function running(uuid: string, what: string): SimulatedDomain {
    const domain = domainOf(uuid, what)
    if (!domain.live)
      throw libvirtFault(libvirtError.operationInvalid, 'Requested operation is not valid: domain is not running', `${what} ${domain.name}`)
    return domain
  }

  function become(domain: SimulatedDomain, state: DomainState, reason: string): void {
    domain.state = state
    domain.reason = reason
  }

  function stop(domain: SimulatedDomain, reason: 'shutdown' | 'destroyed' | 'crashed' | 'saved' | 'migrated' | 'failed'): void {
    for (const card of find(parseXml(domain.live!), 'devices', 'interface')) {
      const tap = first(card, 'target')?.attributes.dev
      if (tap) options.network?.removeTap(tap)
    }
    domain.live = null
    domain.jobs = {}
    become(domain, 'shutoff', reason)
    lifecycle(domain, 'stopped', reason)
    domain.id = -1
  }

  const picture = ({ name, uuid, id, state, reason }: SimulatedDomain): Domain => ({ name, uuid, id, state, reason })

  /** The XML that a call reads or edits: live where it runs, else the definition. */
  const current = (domain: SimulatedDomain) => domain.live ?? domain.definition

  function edit(domain: SimulatedDomain, affect: Affect, what: string, apply: (devices: Element) => void): void {
    const live = affect.live || (!affect.config && domain.live !== null)
    if (live && !domain.live) running(domain.uuid, what)
    const which: ('live' | 'definition')[] = [
      ...(live ? ['live' as const] : []),
      ...(affect.config || !live ? ['definition' as const] : []),
    ]
    const edited = which.map((each) => {
      const root = parseXml(domain[each]!)
      apply(first(root, 'devices')!)
      return [each, printXml(root)] as const
    })
    for (const [each, xml] of edited) domain[each] = xml
  }

  function disk(domain: SimulatedDomain, named: string): Element {
    const found = find(parseXml(current(domain)), 'devices', 'disk').find(
      (each) => first(each, 'target')?.attributes.dev === named || first(each, 'source')?.attributes.file === named,
    )
    if (!found)
      throw libvirtFault(libvirtError.invalidArgument, `invalid argument: disk '${named}' not found in domain`, `disk ${domain.name}`)
    return found
  }

  function setSource(domain: SimulatedDomain, target: string, file: string): void {
    edit(domain, { live: true, config: true }, 'disk source', (devices) => {
      const source = devices.children
        .filter((each) => each.name === 'disk' && first(each, 'target')?.attributes.dev === target)
        .map((each) => first(each, 'source'))[0]
      if (source) source.attributes.file = file
    })
  }

  /** From here on this call fails `times` times. */
  function failOn(call: LibvirtCall, error: Error = new Fault(500, 'LibvirtError', `libvirt ${call}: told to fail`), times = 1): void {
    failures.set(call, { error, times })
  }

  function setUp(up: boolean): void {
    isUp = up
    emit({ kind: 'connection', up })
  }

  function onEvent(listener: (event: LibvirtEvent) => void): () => void {
    listeners.add(listener)
    setImmediate(() => listeners.has(listener) && listener({ kind: 'connection', up: isUp }))
    return () => listeners.delete(listener)
  }

  return {
    state: world,
    network: options.network,
    listeners,
    changes,
    save: memory.save,
    emit,
    lifecycle,
    change,
    look,
    domainOf,
    nameOf,
    running,
    become,
    stop,
    picture,
    current,
    edit,
    disk,
    setSource,
    failOn,
    setUp,
    onEvent,
  }
}
