import { randomUUID } from 'node:crypto'
import type { Bus } from '../../kernel/bus/bus.ts'
import { events } from '../rpc.ts'

/** ms that who has come into a group waits for others who come: with a hundred boots in a second each would be news to every host of the group. */
const TOGETHER_MS = 200

/** What hosts are told of the members of groups: that somebody came, at once, and then who else came meanwhile, together; that somebody may have left always at once. */
export class GroupNews {
  private readonly bus: Bus
  private readonly own = randomUUID()
  /** Who came since the group was last told of, until nobody comes any more; null: hosts are to ask, instead of being told. */
  private readonly came = new Map<string, string[] | null>()
  private timer: NodeJS.Timeout | undefined

  constructor(bus: Bus) {
    this.bus = bus
  }

  /** Returns how to stop. */
  start(): () => void {
    // what waits here may have left again by what another process did: it must not be told after that
    const stop = this.bus.subscribe(events.groupMembersChanged, ({ groupIds, by }) => {
      if (by !== undefined && by !== this.own) for (const id of groupIds) if (this.came.get(id)?.length) this.came.set(id, null)
    })
    return () => {
      stop()
      clearTimeout(this.timer)
      this.timer = undefined
      this.tell()
      this.came.clear()
    }
  }

  /** `joined`: all that happened is that these addresses came. */
  changed(groupIds: string[], joined?: string[]): void {
    if (!joined) {
      for (const id of groupIds) this.came.delete(id)
      this.bus.publish(events.groupMembersChanged, { groupIds, by: this.own }, groupIds)
      return
    }
    const quiet = groupIds.filter((id) => !this.came.has(id))
    for (const id of groupIds) this.came.get(id)?.push(...joined)
    for (const id of quiet) this.came.set(id, [])
    if (quiet.length > 0) this.bus.publish(events.groupMembersChanged, { groupIds: quiet, joined }, quiet)
    this.timer ??= setTimeout(() => this.look(), TOGETHER_MS).unref()
  }

  private look(): void {
    this.timer = undefined
    this.tell()
    if (this.came.size > 0) this.timer = setTimeout(() => this.look(), TOGETHER_MS).unref()
  }

  private tell(): void {
    for (const [id, joined] of [...this.came]) {
      if (joined?.length === 0) {
        this.came.delete(id)
        continue
      }
      this.bus.publish(events.groupMembersChanged, joined ? { groupIds: [id], joined } : { groupIds: [id] }, [id])
      this.came.set(id, [])
    }
  }
}
