import { conflict } from '../../kernel/errors/errors.ts'

/** The database says that there is such a row already. */
const isDuplicate = (error: unknown): boolean => {
  const { code, message } = error as { code?: string; message?: string }
  return code === 'ER_DUP_ENTRY' || (code === 'ERR_SQLITE_ERROR' && /UNIQUE constraint/.test(message ?? ''))
}

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
