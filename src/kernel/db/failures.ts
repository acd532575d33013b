import { Fault } from '../errors/errors.ts'

/** What a database's error means for the statement or transaction that met it. */

/** MariaDB's own errors, for which the driver has a number and no name. */
const MARIADB: Record<number, string> = { 1927: 'ER_CONNECTION_KILLED' }

function codeOf(error: unknown): string {
  const { code, errno } = (error ?? {}) as { code?: unknown; errno?: number }
  return String(code ?? MARIADB[errno ?? 0] ?? '')
}

const ROLLED_BACK = new Set(['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT', 'ER_ERROR_DURING_COMMIT', 'ER_CHECKREAD', 'RACED'])
const LOST = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'ER_CONNECTION_KILLED',
  'PROTOCOL_PACKETS_OUT_OF_ORDER',
  'ER_ABORTING_CONNECTION',
  'ER_NEW_ABORTING_CONNECTION',
  'ER_NET_READ_ERROR',
  'ER_NET_READ_INTERRUPTED',
  'ER_NET_ERROR_ON_WRITE',
  'ER_NET_WRITE_INTERRUPTED',
  'ER_FORCING_CLOSE',
  'ER_NORMAL_SHUTDOWN',
  'ER_QUERY_INTERRUPTED',
  'ER_SERVER_SHUTDOWN',
  'ER_SHUTDOWN_COMPLETE',
  'ER_HANDSHAKE_ERROR',
  'HANDSHAKE_UNKNOWN_ERROR',
])
const NOT_READY = new Set(['ER_UNKNOWN_COM_ERROR', 'ER_CON_COUNT_ERROR', 'ER_CANT_CREATE_THREAD', 'ER_HOST_IS_BLOCKED'])

/** Nothing was written; the same again may succeed. */
export const isRolledBack = (error: unknown): boolean => ROLLED_BACK.has(codeOf(error))
/** Nobody answers, or no longer: what was under way may be done or not. */
export const isLost = (error: unknown): boolean =>
  LOST.has(codeOf(error)) || (error instanceof Error && /connection is in closed state|Pool is closed/i.test(error.message))
/** The server refused before it did anything: a node outside its cluster's quorum, or one that is full. */
export const isNotReady = (error: unknown): boolean => NOT_READY.has(codeOf(error))

/** A unique key refused a row: there is one already, or somebody is making it. */
export const isDuplicate = (error: unknown): boolean =>
  codeOf(error) === 'ER_DUP_ENTRY' || /UNIQUE constraint failed/.test((error as Error | null)?.message ?? '')

/** This process's own database does not answer, or did not say whether a write is done. */
export class DatabaseUnreachable extends Fault {
  constructor(message: string, cause: unknown) {
    super(503, 'DatabaseUnreachable', message, { cause })
  }
}

/** Thrown in a transaction whose compare-and-swap lost: the whole of it runs again. */
export class Raced extends Error {
  readonly code = 'RACED'
}
