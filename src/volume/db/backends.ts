import { timestamp, toJson } from '../../kernel/db/columns.ts'
import type { BackendState } from '../rpc.ts'
import type { Handle } from './handle.ts'
import type { BackendRow } from './tables.ts'

export const backendRows = (db: Handle): Promise<BackendRow[]> => db.selectFrom('backends').selectAll().orderBy('name').execute()

export async function keepReport(db: Handle, state: BackendState): Promise<void> {
  const report = { state_json: toJson(state), reported_at: timestamp() }
  const update = () => db.updateTable('backends').set(report).where('name', '=', state.name).executeTakeFirst()
  if ((await update()).numUpdatedRows > 0n) return
  try {
    await db
      .insertInto('backends')
      .values({ name: state.name, ...report, disabled: 0, disabled_reason: null })
      .execute()
  } catch (error) {
    if ((await update()).numUpdatedRows === 0n) throw error
  }
}

/** `host` is host@backend, without the pool. Answers whether there is one. */
export async function disableBackend(db: Handle, host: string, disabled: boolean, reason: string | null): Promise<boolean> {
  const changed = await db
    .updateTable('backends')
    .set({ disabled: disabled ? 1 : 0, disabled_reason: reason })
    .where((eb) => eb.or([eb('name', '=', host), eb('name', 'like', `${host.replace(/[%_\\]/g, '')}#%`)]))
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
}
