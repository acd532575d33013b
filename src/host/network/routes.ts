import type { Change, Namespace, NetNs } from '../../drivers/netns/driver.ts'
import { cidr } from '../../drivers/netns/words.ts'
import { familyOf } from './addresses.ts'

export interface WantedRoute {
  /** `default` or a prefix. */
  to: string
  via: string
}

/**
 * Makes the routes through gateways those that are wanted; routes that come with addresses stay. One batch for each family that differs.
 * @returns what changed, in words
 */
export async function setRoutes(netns: NetNs, namespace: Namespace, wanted: WantedRoute[]): Promise<string[]> {
  const changes: Change[] = []
  for (const family of [4, 6] as const) {
    const due = new Map(wanted.filter(({ via }) => familyOf(via) === family).map(({ to, via }) => [shown(to), via]))
    const held = (await netns.routes(namespace, family)).filter(
      (route) => route.via && route.protocol !== 'kernel' && route.protocol !== 'ra',
    )
    changes.push(
      ...held
        .filter((route) => !due.has(route.to))
        .map((route) => ({ do: 'delete-route' as const, to: route.to, via: route.via!, dev: route.dev })),
      ...[...due]
        .filter(([to, via]) => !held.some((route) => route.to === to && route.via === via))
        .map(([to, via]) => ({ do: 'set-route' as const, to, via })),
    )
  }
  await netns.apply(namespace, changes)
  return changes.map((change) =>
    change.do === 'set-route'
      ? `${namespace}: ${change.to} via ${change.via}`
      : `${namespace}: no route to ${'to' in change ? change.to : ''}`,
  )
}

/** The first gateway of each family. */
export function setDefaultRoutes(netns: NetNs, namespace: Namespace, gateways: string[]): Promise<string[]> {
  const first = [4, 6].flatMap((family) => gateways.find((gateway) => familyOf(gateway) === family) ?? [])
  return setRoutes(
    netns,
    namespace,
    first.map((via) => ({ to: 'default', via })),
  )
}

/** As the kernel prints it. */
function shown(to: string): string {
  if (to === 'default' || to === '0.0.0.0/0' || to === '::/0') return 'default'
  const { address, prefix, family } = cidr(to)
  return prefix === (family === 4 ? 32 : 128) ? address : `${address}/${prefix}`
}
