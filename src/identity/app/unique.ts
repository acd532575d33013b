import { randomUUID } from 'node:crypto'
import { isDuplicate } from '../../kernel/db/failures.ts'
import { conflict } from '../../kernel/errors/errors.ts'

export const newId = () => randomUUID().replaceAll('-', '')

/** For writes that looked first: of two at the same time the later hears the same as one that came later. @throws Fault 409 */
export async function unlessTaken<T>(write: Promise<T>, message: string): Promise<T> {
  try {
    return await write
  } catch (error) {
    if (isDuplicate(error)) throw conflict(message)
    throw error
  }
}

/** For rows that say all they have to say by being there: a second one is no mistake. */
export async function unlessThere(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (!isDuplicate(error)) throw error
  }
}
