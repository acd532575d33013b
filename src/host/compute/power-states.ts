import type { PowerState } from '../../compute/rpc.ts'
import type { Domain, Libvirt } from '../../drivers/libvirt/driver.ts'
import type { Fault } from '../../kernel/errors/errors.ts'

const POWER: Record<Domain['state'], PowerState> = {
  nostate: 'nostate',
  running: 'running',
  blocked: 'running',
  paused: 'paused',
  shutdown: 'shutdown',
  shutoff: 'shutdown',
  crashed: 'crashed',
  pmsuspended: 'suspended',
}

const MAY_BE_SAVED = ['saved', 'unknown', 'daemon']

/** As users see it: a guest whose memory is saved is suspended. A libvirtd that was restarted has forgotten why a guest is off. */
export async function powerOf(libvirt: Libvirt, { uuid, state, reason }: Domain): Promise<PowerState> {
  if (state !== 'shutoff') return POWER[state]
  if (reason === 'crashed') return 'crashed'
  // `saved` stays the reason when the memory is thrown away
  if (MAY_BE_SAVED.includes(reason) && (await unless(['NoDomain'], libvirt.hasSaved(uuid)))) return 'suspended'
  return 'shutdown'
}

export const isActive = ({ state }: Pick<Domain, 'state'>) => ['running', 'blocked', 'paused', 'shutdown', 'pmsuspended'].includes(state)

/** The domain, or undefined where there is none. */
export async function domainOf(libvirt: Libvirt, uuid: string): Promise<Domain | undefined> {
  return await unless(['NoDomain'], libvirt.domainByUuid(uuid))
}

/** Undefined where the call fails for one of these reasons: what was to be done away with is away. */
export async function unless<T>(codes: string[], call: Promise<T>): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (codes.includes((error as Fault).code)) return undefined
    throw error
  }
}
