import type { Bus } from '../../kernel/bus/bus.ts'
import { message } from '../../kernel/bus/bus.ts'
import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { KeyRing } from './fernet.ts'
import type { Validated } from './tokens.ts'

export interface IdentityContext {
  database: Database<IdentityTables>
  keys: KeyRing
  bus: Bus
  log: Log
  region: string
  /** ms that a token lives. */
  tokenLifeMs: number
  /** Tokens validated since the last change to anything here: every writer calls {@link changed}. */
  validated: Map<string, Validated>
}

/** Something that validated tokens may depend on has changed: whoever remembers tokens forgets them. */
export const identityChanged = message<Record<string, never>, void>('identity.changed')

export function changed(context: IdentityContext): void {
  context.validated.clear()
  context.bus.publish(identityChanged, {})
}
