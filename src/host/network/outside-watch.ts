import { now, record } from '../../kernel/trace/trace.ts'
import { control, events, NETWORK_CONTROL, type RouterDetails } from '../../network/rpc.ts'
import { contains, familyOf } from './addresses.ts'
import type { Context } from './machine.ts'
import { routerNamespace } from './names.ts'

/** ms between looks, shortly after something was made, and later. */
const EVERY_MS = 1_000
const SELDOM_MS = 30_000
const SHORTLY_MS = 180_000
const REMEMBERED = 10_000

/** Step 42, seen where it happens: the first connection of a guest that its router has translated on its way out. */
export class OutsideWatch {
  private readonly context: Context
  private readonly seen = new Set<string>()
  private routers: RouterDetails[] = []
  /** Of listening for news, which is of use only while there is a way outside. */
  private deaf: (() => void) | undefined
  private news = 0
  private looked = 0
  private timer: NodeJS.Timeout | undefined
  private looking: Promise<void> | undefined

  constructor(context: Context) {
    this.context = context
  }

  start(): void {
    this.timer = setInterval(() => {
      if (this.routers.length === 0) return
      const rest = Date.now() - this.news < SHORTLY_MS ? EVERY_MS : SELDOM_MS
      if (Date.now() - this.looked < rest) return
      this.looked = Date.now()
      this.looking ??= this.look()
        .catch((error) => this.context.log.debug({ err: error }, 'translated connections could not be read'))
        .finally(() => {
          this.looking = undefined
        })
    }, EVERY_MS)
    this.timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.timer)
    this.routers = []
    this.listen(false)
    await this.looking
  }

  /** Routers without a gateway have no outside. */
  follow(routers: RouterDetails[]): void {
    this.routers = routers.filter((router) => router.gateway !== null)
    this.listen(this.routers.length > 0)
  }

  private listen(wanted: boolean): void {
    if (wanted === (this.deaf !== undefined)) return
    this.deaf?.()
    this.deaf = undefined
    if (!wanted) return
    const news = () => {
      this.news = Date.now()
    }
    news()
    const { bus } = this.context
    const stops = [bus.subscribe(events.portChanged, news), bus.subscribe(events.routerChanged, news)]
    this.deaf = () => {
      for (const stop of stops) stop()
    }
  }

  async look(): Promise<void> {
    const { machine, bus } = this.context
    for (const router of this.routers) {
      const inside = router.interfaces.flatMap((port) => port.addresses.map((each) => `${each.address}/${each.prefixLength}`))
      const floating = new Set(router.floatingIps.map((each) => each.floatingAddress))
      for (const { source, destination, translatedTo } of await machine.iptables.translations(routerNamespace(router.id))) {
        const key = `${router.id} ${source}`
        if (this.seen.has(key) || familyOf(source) !== 4 || floating.has(destination)) continue
        if (!inside.some((range) => contains(range, source)) || inside.some((range) => contains(range, destination))) continue
        const port = await bus.call(NETWORK_CONTROL, control.portByAddress, { routerId: router.id, address: source })
        if (!port?.instanceId) continue
        if (this.seen.size > REMEMBERED) this.seen.clear()
        this.seen.add(key)
        record({
          subject: `server:${port.instanceId}`,
          step: 42,
          name: 'outside',
          service: 'network',
          startedAt: now(),
          ms: 0,
          outcome: 'done',
          evidence: {
            text: `${source} reached ${destination} as ${translatedTo}`,
            source,
            destination,
            translatedTo,
            namespace: routerNamespace(router.id),
          },
        })
      }
    }
  }
}
