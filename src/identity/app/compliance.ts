import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { IdentityContext, IdentityTables } from './context.ts'
import { optionsIn } from './options.ts'
import { checkPassword } from './password.ts'
import { newId } from './unique.ts'

type User = Pick<IdentityTables['users'], 'id' | 'password_hash' | 'failures' | 'failed_at' | 'options_json'>

/** Whether this is the user's password, and the user not locked out; takes as long for nobody as for somebody. Wrong ones are counted. */
export async function tryPassword(context: IdentityContext, user: User | undefined, password: string): Promise<boolean> {
  const right = await checkPassword(password, user?.password_hash ?? null)
  const { lockoutFailureAttempts, lockoutDuration } = context.compliance
  if (!user || lockoutFailureAttempts === null) return right
  const over = !user.failed_at || Date.parse(user.failed_at) + lockoutDuration * 1000 <= Date.now()
  if (Number(user.failures) >= lockoutFailureAttempts && !over && !optionsIn(user).ignore_lockout_failure_attempts) return false
  const { db } = context.database
  const query = db.updateTable('users').where('id', '=', user.id)
  if (!right) {
    const before = over ? 0 : Number(user.failures)
    await query.set({ failures: before + 1, failed_at: timestamp() }).execute()
  } else if (Number(user.failures) > 0) await query.set({ failures: 0, failed_at: null }).execute()
  return right
}

/** Remembers a password that was replaced, as long as it may not be chosen again. */
export async function keepOld(context: IdentityContext, userId: string, passwordHash: string): Promise<void> {
  const kept = context.compliance.uniqueLastPasswordCount - 1
  const { db } = context.database
  if (kept > 0)
    await db
      .insertInto('old_passwords')
      .values({ id: newId(), user_id: userId, password_hash: passwordHash, replaced_at: timestamp() })
      .execute()
  const tooOld = (await oldOf(context, userId)).slice(Math.max(kept, 0)).map(({ id }) => id)
  if (tooOld.length > 0) await db.deleteFrom('old_passwords').where('id', 'in', tooOld).execute()
}

/** @throws Fault 400 for one of the last passwords */
export async function refuseOld(context: IdentityContext, user: User, password: string): Promise<void> {
  const count = context.compliance.uniqueLastPasswordCount
  if (count < 1) return
  const old = (await oldOf(context, user.id)).slice(0, count - 1)
  for (const hash of [user.password_hash, ...old.map((one) => one.password_hash)])
    if (await checkPassword(password, hash))
      throw badRequest(
        `The new password cannot be identical to a previous password. The total number which includes the new password must be unique is ${count}.`,
      )
}

/** The newest first. */
const oldOf = (context: IdentityContext, userId: string) =>
  context.database.db.selectFrom('old_passwords').selectAll().where('user_id', '=', userId).orderBy('replaced_at', 'desc').execute()
