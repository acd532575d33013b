import type { Handle } from '../db/handle.ts'

/** What a guest posts of its administrator's password, encrypted with the public key of its key pair: kept as it came, for the user to decrypt. */

/** As Nova has it: what an RSA key of 4096 bits makes, in base64, and some. */
export const LONGEST_PASSWORD = 1024

/** Empty when the guest has posted none. */
export async function passwordOf(db: Handle, serverId: string): Promise<string> {
  const row = await db.selectFrom('server_passwords').select('password').where('server_id', '=', serverId).executeTakeFirst()
  return row?.password ?? ''
}

/** Answers whether it is the first: one that is there stays. */
export async function keepPassword(db: Handle, serverId: string, password: string): Promise<boolean> {
  if ((await passwordOf(db, serverId)) !== '') return false
  await db.insertInto('server_passwords').values({ server_id: serverId, password }).execute()
  return true
}

export async function forgetPassword(db: Handle, serverId: string): Promise<void> {
  await db.deleteFrom('server_passwords').where('server_id', '=', serverId).execute()
}
