import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate } from 'node:timers/promises'
import type { Yard } from '../../compute/sagas/testing.ts'
import { queries } from '../../kernel/db/queries.ts'
import type { Route } from '../../kernel/http/route.ts'

const asked = new AsyncLocalStorage<string[]>()

/** Notes the queries of every request that {@link counted} makes. Returns how to stop. */
export function countQueries(): () => void {
  const note = (sql: unknown) => void asked.getStore()?.push(String(sql))
  queries.subscribe(note)
  return () => void queries.unsubscribe(note)
}

/** The answer of `work`, and the queries that it waited for, of all services together. */
export async function counted<T>(work: () => Promise<T>): Promise<{ answer: T; queries: string[] }> {
  const found: string[] = []
  const answer = await asked.run(found, work)
  return { answer, queries: [...found] }
}

/** Makes a request and notes what it needs. @throws Error when it is refused */
export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
  /** One of several ways to ask a route, which is counted for itself. */
  way?: string,
) => Promise<any>

/** What requests need, by the route that they came to: the most queries that it was seen with, as not everything that is asked has belongings. */
export class Counts {
  readonly seen = new Map<string, string[]>()
  protected readonly yard: Yard
  /** The name of the route that a request comes to. */
  protected readonly names: (method: string, path: string, body: unknown) => string

  constructor(yard: Yard) {
    this.yard = yard
    this.names = namesOf(yard)
  }

  /** @throws Error when it is refused */
  protected send(method: string, path: string, body: unknown, headers: Record<string, string>): Promise<any> {
    return this.yard.cloud.api(method, path, body, headers)
  }

  readonly ask: Ask = async (method, path, body, headers = {}, way = '') => {
    await this.settled()
    const { answer, queries: made } = await counted(() => this.send(method, path, body, headers))
    const name = `${this.names(method, path, body)}${way && ` (${way})`}`
    const known = this.seen.get(name)
    if (!known || made.length > known.length) this.seen.set(name, made)
    return answer
  }

  /** For what is always refused, and counted all the same. @throws Error when it is answered, or with another status */
  readonly refused = async (status: number, ...asked: Parameters<Ask>): Promise<void> => {
    const [method, path, body, headers = {}] = asked
    await this.settled()
    const { answer, queries: made } = await counted(() =>
      this.send(method, path, body, headers).then(
        () => 'it is answered',
        (error: Error) => error.message,
      ),
    )
    if (!answer.includes(`: ${status} `)) throw new Error(`${method} ${path} should be refused with ${status}: ${answer}`)
    this.seen.set(this.names(method, path, body), made)
  }

  /** After a change in identity the word of it is on its way for a moment, and whose token it is has to be asked again. */
  private async settled(): Promise<void> {
    await setImmediate()
    await this.yard.cloud.api('GET', '/compute/v2.1/extensions')
  }
}

/** Those that the address of a route is written for, once. */
export const routesOf = (yard: Yard, wanted: (route: Route) => boolean): { api: (typeof apis)[number]; route: Route; name: string }[] => {
  const apis = apisOf(yard)
  return apis.flatMap((api) =>
    api.routes
      .filter((route) => !route.path.endsWith('.json') && wanted(route))
      .map((route) => ({ api, route, name: nameOf(api.prefix, route) })),
  )
}

const apisOf = (yard: Yard) => yard.cloud.control.server.apis.filter((api) => api.alias === undefined && api.name !== 'doctor')
const nameOf = (prefix: string, { method, path, action }: Route) => `${method} ${prefix}${path}${action ? ` ${action}` : ''}`

/** Finds the name of the route that a request comes to: words in an address go before what stands for an id. */
function namesOf(yard: Yard): (method: string, path: string, body: unknown) => string {
  const all = routesOf(yard, () => true).map(({ api, route, name }) => ({
    name,
    route,
    pattern: new RegExp(`^${api.prefix}${route.path.replace(/:\w+/g, '[^/]+')}$`),
    ids: route.path.split(':').length,
  }))
  all.sort((a, b) => a.ids - b.ids)
  return (method, path, body) => {
    const [address] = path.split('?')
    const found = all.find(
      ({ route, pattern }) =>
        route.method === method && pattern.test(address!) && (!route.action || Object.hasOwn(Object(body), route.action)),
    )
    if (!found) throw new Error(`no route for ${method} ${path}`)
    return found.name
  }
}
