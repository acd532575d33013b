import type { Bus } from '../../kernel/bus/bus.ts'
import { message } from '../../kernel/bus/bus.ts'
import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { KeyRing } from './fernet.ts'
import type { Validated } from './validated.ts'

export type { IdentityTables }

/** Rules for passwords; without them (null, 0) a user may try and use any. */
export interface Compliance {
  /** So many wrong passwords lock a user out. */
  lockoutFailureAttempts: number | null
  /** s for which they do. */
  lockoutDuration: number
  /** So many passwords, the present one included, may not be chosen again. */
  uniqueLastPasswordCount: number
}

export const NO_COMPLIANCE: Compliance = { lockoutFailureAttempts: null, lockoutDuration: 1800, uniqueLastPasswordCount: 0 }

export interface IdentityContext {
  database: Database<IdentityTables>
  keys: KeyRing
  /** Seal what users keep here, for as long as it is kept. */
  credentialKeys: KeyRing
  bus: Bus
  log: Log
  region: string
  /** ms that a token lives. */
  tokenLifeMs: number
  compliance: Compliance
  /** Tokens validated since the last change to anything here: every writer calls {@link changed}. */
  validated: Map<string, Validated>
  /** Counts those changes: what was read before one may not be remembered after it. */
  changes: number
}

/** Something that validated tokens may depend on has changed: whoever remembers tokens forgets them. */
export const identityChanged = message<Record<string, never>, void>('identity.changed')

export function forget(context: IdentityContext): void {
  context.changes++
  context.validated.clear()
}

export function changed(context: IdentityContext): void {
  forget(context)
  context.bus.publish(identityChanged, {})
}
