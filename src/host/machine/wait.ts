import { setTimeout as pause } from 'node:timers/promises'
import { unavailable } from '../../kernel/errors/errors.ts'

/**
 * Looks every `everyMs` ms until `look` answers something other than undefined or false.
 * @throws Fault 503 naming `what` after `timeoutMs`
 */
export async function waitUntil<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 10_000, everyMs = 5 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw unavailable(`${what}: not so after ${timeoutMs} ms`, 'Timeout')
    await pause(everyMs)
  }
}
