import type { Bus, Message } from '../../kernel/bus/bus.ts'
import { control, type DeviceDetails, events, NETWORK_CONTROL, type Neighbour } from '../../network/rpc.ts'

/** What control told, by id: asked for once, and again after a doubt. A doubt that comes while control answers counts for the next time. */
class Told<T> {
  private readonly ask: (ids: string[]) => Promise<Map<string, T>>
  private readonly hear: (id: string) => () => void
  private readonly heard = new Map<string, () => void>()
  private listening = false
  private readonly values = new Map<string, T>()
  private readonly asking = new Set<string>()
  private readonly doubtful = new Set<string>()
  /** What was asked for and is not known to control. */
  private readonly absent = new Set<string>()

  /** `hear` listens to news of one id and returns how to stop; what is asked for is listened to from before it is asked. */
  constructor(ask: (ids: string[]) => Promise<Map<string, T>>, hear: (id: string) => () => void) {
    this.ask = ask
    this.hear = hear
  }

  listen(wanted: boolean): void {
    this.listening = wanted
    this.listenTo(new Set([...this.values.keys(), ...this.asking, ...this.absent]))
  }

  private listenTo(ids: Set<string>): void {
    for (const [id, stop] of this.heard) {
      if (this.listening && ids.has(id)) continue
      stop()
      this.heard.delete(id)
    }
    if (this.listening) for (const id of ids) if (!this.heard.has(id)) this.heard.set(id, this.hear(id))
  }

  /** Answers whether it is anything that was asked for here. */
  doubt(id: string): boolean {
    if (this.values.size === 0 && this.asking.size === 0 && this.absent.size === 0) return false
    if (this.absent.has(id)) return true
    if (!this.values.has(id) && !this.asking.has(id)) return false
    this.doubtful.add(id)
    return true
  }

  /** Whether it was told, or is being asked for. */
  holds(id: string): boolean {
    return this.values.has(id) || this.asking.has(id)
  }

  /** What was told, and what has come of it since. */
  amend(id: string, change: (value: T) => T): void {
    const value = this.values.get(id)
    if (value !== undefined) this.values.set(id, change(value))
  }

  /** Whether any of what was told may be otherwise by now. */
  get doubts(): boolean {
    return this.doubtful.size > 0 || this.asking.size > 0
  }

  doubtAll(which: (value: T) => boolean = () => true): void {
    for (const [id, value] of this.values) if (which(value)) this.doubtful.add(id)
    for (const id of this.asking) this.doubtful.add(id)
  }

  /** Those of `ids` that control knows; others are forgotten. */
  async of(ids: string[]): Promise<Map<string, T>> {
    const wanted = new Set(ids)
    this.listenTo(wanted)
    for (const id of this.values.keys()) if (!wanted.has(id)) this.values.delete(id)
    for (const id of this.absent) if (!wanted.has(id)) this.absent.delete(id)
    const missing = [...wanted].filter((id) => !this.values.has(id) || this.doubtful.has(id))
    for (const id of missing) {
      this.asking.add(id)
      this.doubtful.delete(id)
    }
    try {
      const found = missing.length > 0 ? await this.ask(missing) : new Map<string, T>()
      for (const id of missing) {
        const value = found.get(id)
        if (value === undefined) {
          this.values.delete(id)
          this.absent.add(id)
        } else {
          this.values.set(id, value)
          this.absent.delete(id)
        }
      }
    } catch (error) {
      for (const id of missing) this.doubtful.add(id)
      throw error
    } finally {
      for (const id of missing) this.asking.delete(id)
    }
    return new Map(this.values)
  }
}

/** ms between looks at groups whose members change all the time: with a thousand hosts every boot is news to every host. */
const MEMBERS_MS = 2_000

/** Calls `wake` at once, and again no sooner than after `everyMs`, however often it is told. */
function paced(wake: () => void, everyMs: number): { tell(): void; stop(): void } {
  let last = Number.NEGATIVE_INFINITY
  let due: NodeJS.Timeout | undefined
  const now = () => {
    due = undefined
    last = performance.now()
    wake()
  }
  return {
    tell() {
      if (due) return
      const rest = last + everyMs - performance.now()
      if (rest <= 0) now()
      else due = setTimeout(now, rest).unref()
    },
    stop: () => clearTimeout(due),
  }
}

function withMembers(members: string[], joined: string[]): string[] {
  const more = new Set(joined)
  for (const member of members) more.delete(member)
  return more.size === 0 ? members : [...members, ...more]
}

type Hears<E> = E extends Message<infer In, void> ? (payload: In) => void : never

/** Ports are asked for in parts of this size. */
const AT_ONCE = 200

/** The ports of this host's switch as control describes them, who is in the groups that their rules name, and who is on their networks elsewhere. */
export class KnownDevices {
  private readonly bus: Bus
  private readonly devices: Told<DeviceDetails>
  private readonly groups: Told<string[]>
  private readonly neighbours: Told<Neighbour[]>
  /** Who is told of what is heard. */
  private tell = { all: () => {}, members: () => {} }
  /** Who has come into groups since these were looked at: in parts, as it was heard. */
  private joined = new Map<string, string[][]>()
  /** Who has come since the groups were asked for, but for those. A list of all is made when somebody wants it: a thousand members are news every few seconds. */
  private since = new Map<string, string[]>()

  constructor(bus: Bus, host: string) {
    this.bus = bus
    const portNews: Hears<typeof events.portChanged> = ({ portId, networkId }) => {
      const [own, near] = [this.devices.doubt(portId), this.neighbours.doubt(networkId)]
      if (own || near) this.tell.all()
    }
    const memberNews: Hears<typeof events.groupMembersChanged> = ({ groupIds, joined }) => {
      let any = false
      for (const id of groupIds) any = (joined && this.groups.holds(id) ? this.join(id, joined) : this.groups.doubt(id)) || any
      if (any) this.tell.members()
    }
    const ofPort = (id: string) => bus.subscribe(events.portChanged, portNews, id)
    const ofMembers = (id: string) => bus.subscribe(events.groupMembersChanged, memberNews, id)
    this.devices = new Told(async (ids) => {
      const found = new Map<string, DeviceDetails>()
      for (let i = 0; i < ids.length; i += AT_ONCE)
        for (const each of await bus.call(NETWORK_CONTROL, control.deviceDetails, { host, portIds: ids.slice(i, i + AT_ONCE) }))
          found.set(each.portId, each)
      return found
    }, ofPort)
    this.groups = new Told(
      async (groupIds) => new Map(Object.entries(await bus.call(NETWORK_CONTROL, control.groupAddresses, { groupIds }))),
      ofMembers,
    )
    this.neighbours = new Told(
      async (networkIds) => new Map(Object.entries(await bus.call(NETWORK_CONTROL, control.neighbours, { host, networkIds }))),
      ofPort, // of any port of this network
    )
  }

  /** Listens to what changes, and calls `wake` when it is anything that was asked for, `regroup` when it is only who is in the groups. Returns how to stop. */
  follow(wake: () => void, regroup: () => void): () => void {
    const { bus, devices, groups, neighbours } = this
    const members = paced(regroup, MEMBERS_MS)
    this.tell = { all: wake, members: members.tell }
    for (const told of [devices, groups, neighbours]) told.listen(true)
    const stops = [
      members.stop,
      bus.subscribe(events.tunnelsChanged, () => {
        neighbours.doubtAll()
        wake()
      }),
      bus.subscribe(events.networkChanged, ({ networkId }) => {
        devices.doubtAll(({ segment }) => segment.networkId === networkId)
        wake()
      }),
      bus.subscribe(events.securityGroupChanged, ({ portIds }) => {
        if (portIds.map((id) => devices.doubt(id)).includes(true)) wake()
      }),
    ]
    return () => {
      for (const told of [devices, groups, neighbours]) told.listen(false)
      for (const stop of stops) stop()
    }
  }

  private join(groupId: string, addresses: string[]): true {
    const parts = this.joined.get(groupId)
    if (parts) parts.push(addresses)
    else this.joined.set(groupId, [addresses])
    return true
  }

  /** Events may have been missed: everything is asked for again. */
  doubt(): void {
    this.devices.doubtAll()
    this.groups.doubtAll()
    this.neighbours.doubtAll()
  }

  /** Of these ports, those that control knows. The same object as before is the same description. */
  of(portIds: string[]): Promise<Map<string, DeviceDetails>> {
    return this.devices.of(portIds)
  }

  /** The addresses (CIDR) of every group that a rule of these ports names. */
  async groupsOf(ports: DeviceDetails[]): Promise<Map<string, string[]>> {
    const named = new Set<string>()
    for (const { rules } of ports) for (const { remoteGroupId } of rules) if (remoteGroupId) named.add(remoteGroupId)
    this.takeJoined()
    for (const [id, joined] of this.since) this.groups.amend(id, (members) => withMembers(members, joined))
    this.since.clear() // what is in doubt, or was never told, is asked for now
    return await this.groups.of([...named])
  }

  /** Who has come into groups, by group, since this or {@link groupsOf} was asked; null when more than that may have changed. */
  newMembers(): Map<string, string[]> | null {
    return this.groups.doubts ? null : this.takeJoined()
  }

  private takeJoined(): Map<string, string[]> {
    const all = new Map<string, string[]>()
    for (const [id, parts] of this.joined) {
      const joined = parts.flat()
      all.set(id, joined)
      const since = this.since.get(id)
      if (since) since.push(...joined)
      else this.since.set(id, [...joined])
    }
    this.joined = new Map()
    return all
  }

  /** Who is on these networks on other hosts. */
  neighboursOn(networkIds: string[]): Promise<Map<string, Neighbour[]>> {
    return this.neighbours.of(networkIds)
  }
}
