import type { Namespace } from '../netns/driver.ts'

export type Family = 4 | 6

export interface Chain {
  /** `ACCEPT` or `DROP` of a built-in chain, `-` of one that somebody made. */
  policy: string
  /** Rules as iptables-save writes them, without `-A CHAIN`. */
  rules: string[]
}

/** Tables by name (`raw`, `mangle`, `nat`, `filter`), each with its chains. A table that nobody used is absent. */
export type Tables = Record<string, Record<string, Chain>>

/** The lines of an iptables-restore input by table, without `*table` and `COMMIT`. */
export type Restore = Record<string, string[]>

/** A tracked IPv4 connection whose sender's address was replaced on the way out. */
export interface Translation {
  source: string
  destination: string
  translatedTo: string
}

export interface IpTables {
  save(namespace: Namespace, family: Family): Promise<Tables>
  /**
   * Carries out the lines; each table changes at once or not at all. With `noflush` everything not named stays (a `:chain` line still empties that chain).
   * @throws Fault 500 RestoreFailed with the line that was refused, 404 NoSuchNamespace, 400 BadRule when a line holds a newline
   */
  restore(namespace: Namespace, family: Family, tables: Restore, options?: { noflush?: boolean }): Promise<void>
  /** Forgets tracked connections, so that the next packet is judged by today's rules: all of a zone, or those to or from an address or range (before translation). */
  cut(namespace: Namespace, which: { zone: number } | { source: string } | { destination: string }): Promise<void>
  translations(namespace: Namespace): Promise<Translation[]>
}

export const BUILT_IN: Record<string, string[]> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
}
