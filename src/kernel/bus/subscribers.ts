type Hear = (payload: any) => void

/** Where an event goes: to all who hear its name, or to those who hear of one thing only. */
export const routeOf = (name: string, about?: string): string => (about === undefined ? name : `${name} ${about}`)

/** Who hears what in one process. */
export class Subscribers {
  private readonly routes = new Map<string, Set<Hear>>()

  /** Answers whether it is the first on this route. */
  add(route: string, hear: Hear): boolean {
    const there = this.routes.get(route)
    if (there) there.add(hear)
    else this.routes.set(route, new Set([hear]))
    return there === undefined
  }

  /** Answers whether it was the last on this route. */
  remove(route: string, hear: Hear): boolean {
    const there = this.routes.get(route)
    return there?.delete(hear) === true && there.size === 0 && this.routes.delete(route)
  }

  /** Who hears of an event that goes these ways, each once. */
  on(routes: string[]): Hear[] {
    const found = routes.flatMap((route) => this.routes.get(route) ?? [])
    if (found.length < 2) return found.flatMap((some) => [...some])
    return [...new Set(found.flatMap((some) => [...some]))]
  }

  all(): string[] {
    return [...this.routes.keys()]
  }

  clear(): void {
    this.routes.clear()
  }
}
