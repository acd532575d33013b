import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { rowsWhere } from '../db/rows.ts'
import type { PortRow, RouterRow, SubnetRow } from '../db/tables.ts'
import type { Work } from './context.ts'
import type { Port } from './port.ts'
import { ROUTING_LOCK, routerLock, tellRouter } from './router.ts'
import { checkSubnets, refuseInUse } from './router-interfaces.ts'

/** Ports by which routers and floating addresses stand in networks: they come and go with those, and change as far as those allow it. */

type Owned = Pick<PortRow, 'device_id' | 'device_owner'>

const isRouters = ({ device_owner, device_id }: Owned) => device_owner.startsWith('network:router') && device_id !== ''
const isFloating = ({ device_owner, device_id }: Owned) => device_owner === 'network:floatingip' && device_id !== ''

/** The router or floating address whose port this is, if it is there. */
export interface Holder {
  router: RouterRow | null
}

/** For each port. */
async function holdersOf(db: Handle, ports: Owned[]): Promise<(Holder | null)[]> {
  const ids = (of: (port: Owned) => boolean) => ports.filter(of).map((port) => port.device_id)
  const routers = new Map((await rowsWhere(db, 'routers', 'id', ids(isRouters))).map((router) => [router.id, router]))
  const floating = new Set((await rowsWhere(db, 'floatingips', 'id', ids(isFloating))).map((one) => one.id))
  return ports.map((port) => {
    const router = isRouters(port) ? routers.get(port.device_id) : undefined
    if (router) return { router }
    return isFloating(port) && floating.has(port.device_id) ? { router: null } : null
  })
}

export const holderOf = async (db: Handle, port: Owned): Promise<Holder | null> => (await holdersOf(db, [port]))[0]!

/** What a router's other ports, routes and floating addresses hang on does not change while one of its ports gets other addresses. */
export const holderLocks = (port: Owned): string[] => (isRouters(port) ? [routerLock(port.device_id), ROUTING_LOCK] : [])

/** @throws Fault 409 when ports that are nobody's would be a router's or a floating address's by saying so */
export async function refuseClaims(db: Handle, ports: Owned[]): Promise<void> {
  const holders = await holdersOf(db, ports)
  const claim = ports.find((_port, i) => holders[i])
  if (claim)
    throw conflict(
      `The device_id ${claim.device_id} is a router's or a floating IP's: a port is put behind a router with add_router_interface.`,
      'DeviceIDNotOwnedByTenant',
    )
}

/** @throws Fault 409 when the change would take the port from its holder, or to another host than that */
export function refuseTaking(before: PortRow, after: PortRow): void {
  const same = (['device_id', 'device_owner', 'host'] as const).every((name) => before[name] === after[name])
  if (!same) throw inUse(before)
}

const inUse = (port: PortRow) =>
  conflict(
    `Unable to complete operation on port ${port.id} for network ${port.network_id}. Port already has an attached device ${port.device_id}.`,
    'PortInUse',
  )

/** Before a held port gets other addresses, in `all` these subnets: in those `given` it had none so far, in those `taken` it has none any more. @throws Fault 400, 409 */
export async function refuseReaddress(
  work: Work,
  { router }: Holder,
  port: Port,
  { all, given, taken }: Record<'all' | 'given' | 'taken', SubnetRow[]>,
): Promise<void> {
  if (!router) throw inUse(port)
  if (all.length === 0) throw badRequest('Bad router request: Router port must have at least one fixed IP.', 'BadRequest')
  if (port.device_owner !== 'network:router_interface') return
  if (taken.length > 0) await refuseInUse(work, router, taken)
  if (given.length > 0) await checkSubnets(work, router, given)
}

/** After it. */
export function settleRouter(work: Work, { router }: Holder): void {
  if (router) tellRouter(work, router.id)
}
