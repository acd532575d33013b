import { fromJson } from '../../kernel/db/columns.ts'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { backendRows, disableBackend } from '../db/backends.ts'
import { pendingSizes } from '../db/volumes.ts'
import type { BackendState } from '../rpc.ts'
import type { VolumeContext } from './context.ts'

/** A back end as its storage host reported it last. */
export interface Backend {
  state: BackendState
  reportedAt: string
  up: boolean
  disabled: boolean
  disabledReason: string | null
  /** GiB of volumes on their way to it. */
  pendingGiB: number
}

export async function backends(context: VolumeContext): Promise<Backend[]> {
  const [rows, pending] = [await backendRows(context.database.db), await pendingSizes(context.database.db)]
  return rows.map((row) => ({
    state: fromJson<BackendState>(row.state_json),
    reportedAt: row.reported_at,
    up: Date.now() - Date.parse(row.reported_at) <= context.settings.serviceDownMs,
    disabled: row.disabled === 1,
    disabledReason: row.disabled_reason,
    pendingGiB: pending.get(row.name) ?? 0,
  }))
}

export async function zones(context: VolumeContext): Promise<{ name: string; available: boolean }[]> {
  const known = new Map<string, boolean>()
  for (const one of await backends(context))
    known.set(one.state.availabilityZone, (known.get(one.state.availabilityZone) ?? false) || (one.up && !one.disabled))
  if (known.size === 0) known.set(context.settings.defaultZone, true)
  return [...known].map(([name, available]) => ({ name, available }))
}

/** What Cinder calls the host of a service: `host@backend`. */
export const serviceHost = (backend: string) => backend.split('#')[0]!

const FROZEN = 'frozen'

/** Nothing new comes to a frozen back end, as to a disabled one. @throws Fault 400 when it is not known, or so already */
export async function setFrozen(context: VolumeContext, host: string, frozen: boolean): Promise<void> {
  const one = (await backends(context)).find(({ state }) => state.name === host || serviceHost(state.name) === host)
  if (!one) throw badRequest(`Invalid input received: No services with host ${host} were found.`, 'InvalidInput')
  if ((one.disabledReason === FROZEN) === frozen)
    throw badRequest(`Invalid input received: ${host} is ${frozen ? 'frozen already' : 'not frozen'}.`, 'InvalidInput')
  await setEnabled(context, serviceHost(one.state.name), !frozen, FROZEN)
}

/** @throws Fault 404 */
export async function setEnabled(context: VolumeContext, host: string, enabled: boolean, reason: string | null): Promise<void> {
  if (!(await disableBackend(context.database.db, host, !enabled, enabled ? null : reason)))
    throw notFound(`Service could not be found on host ${host}.`, 'ServiceNotFound')
}
