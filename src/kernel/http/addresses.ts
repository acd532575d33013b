import Router from 'find-my-way'
import type { Api } from './api.ts'
import type { Route } from './route.ts'

/** What is at an address: the routes of each method there, several where microversions or actions tell them apart. */
export interface Place {
  api: Api
  /** As in {@link Route.path}. */
  path: string
  methods: Map<string, Route[]>
}

export interface Found {
  place: Place
  params: Record<string, string>
  query: Record<string, unknown>
}

/** The addresses of all APIs. */
export class Addresses {
  readonly apis: Api[] = []
  private readonly router = Router({ ignoreTrailingSlash: true, maxParamLength: 512, caseSensitive: true, onBadUrl: () => {} })

  add(api: Api): void {
    this.apis.push(api)
    const paths = Map.groupBy(api.routes, (route) => route.path)
    for (const [path, routes] of paths) {
      const place: Place = { api, path, methods: Map.groupBy(routes, (route): string => route.method) }
      this.at(`${api.prefix}${path === '/' ? '' : path}`, place)
      if (api.projectInPath && path !== '/') this.at(`${api.prefix}/:project_id${path}`, place)
    }
  }

  /** Null: nothing is there. `unreadable`: what follows a % is no number. */
  find(url: string): Found | null | 'unreadable' {
    const found = this.router.find('GET', url)
    if (!found) return null
    const place: Place | null = found.store
    if (!place) return 'unreadable'
    if (endsInSlash(place, url)) return null
    return { place, params: found.params as Record<string, string>, query: found.searchParams as Record<string, unknown> }
  }

  /** Whose address it would be. */
  apiOf(url: string): Api | undefined {
    return this.apis.find(({ prefix }) => url.startsWith(`${prefix}/`) || url === prefix || url.startsWith(`${prefix}?`))
  }

  /** One tree for all methods: the place that fits best says which it has. */
  private at(path: string, place: Place): void {
    this.router.on('GET', path, () => {}, place)
  }
}

/** Whether an id is missing at the end, where the service does not overlook that. */
const endsInSlash = ({ api, path }: Place, url: string) => api.strictSlashes === true && path !== '/' && url.split('?')[0]!.endsWith('/')
