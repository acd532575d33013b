import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** In the order of the report; object storage is no part of this cloud. */
export const GROUPS = ['identity', 'image', 'network', 'volume', 'compute', 'scenario'] as const
export type Group = (typeof GROUPS)[number]

/** `tempest.api.volume.test_x.Class.test_y[id-…,smoke]` without what is in brackets. */
export const nameOf = (id: string): string => id.replace(/\[.*$/, '')

/** `tempest.api.volume.test_x.Class` of that: what tempest names when a class as a whole fails or is skipped. */
export const classOf = (name: string): string => name.slice(0, name.lastIndexOf('.'))

/** Null for tests of services that this cloud does not have. */
export function groupOf(name: string): Group | null {
  const group = /^tempest\.(?:api\.)?(\w+)\./.exec(name)?.[1]
  return GROUPS.find((one) => one === group) ?? null
}

/** The names in a list: one in each line, # begins a remark. */
export const listed = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))

/** Names of the tests that stood behind "OpenStack Powered Compute". */
export const interop = (): string[] => listed(readFileSync(join(import.meta.dirname, 'interop.txt'), 'utf8'))

/** Those of `names` that any filter wants, all without filters. A filter is `interop`, a group, `@FILE` with a list, or a regular expression. */
export function chosen(names: string[], filters: string[]): string[] {
  if (filters.length === 0) return names
  const wanted = filters.map((filter): ((name: string) => boolean) => {
    if (filter === 'interop' || filter.startsWith('@')) {
      const list = new Set(filter === 'interop' ? interop() : listed(readFileSync(filter.slice(1), 'utf8')).map(nameOf))
      return (name) => list.has(name)
    }
    if (GROUPS.includes(filter as Group)) return (name) => groupOf(name) === filter
    const pattern = new RegExp(filter)
    return (name) => pattern.test(name)
  })
  return names.filter((name) => wanted.some((wants) => wants(name)))
}
