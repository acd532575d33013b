/** Hosts that serve networks say every second that they are there; one that said so and is silent for this long has died. */
export const SILENT_MS = 5_000

/** What this process heard of the hosts since it started. A host that it never heard is not known to be dead: that takes the agents' own reports. */
export class Heartbeats {
  private readonly heard = new Map<string, number>()

  hear(host: string): void {
    this.heard.set(host, performance.now())
  }

  isDead(host: string): boolean {
    const at = this.heard.get(host)
    return at !== undefined && performance.now() - at > SILENT_MS
  }

  /** Some that serve are silent, and others are not: when all are, it is we who hear nothing. */
  someDied(): boolean {
    const hosts = [...this.heard.keys()]
    return hosts.some((host) => this.isDead(host)) && hosts.some((host) => !this.isDead(host))
  }
}
