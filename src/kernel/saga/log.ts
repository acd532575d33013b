import type { Kysely, Transaction } from 'kysely'
import { id as idColumn, integer, name, text, time, timestamp } from '../db/columns.ts'
import { insertPrepared, prepared } from '../db/prepared.ts'

/** The two tables of every service that has sagas. */
export interface SagaTables {
  sagas: {
    id: string
    kind: string
    subject: string
    request_id: string | null
    input: string
    /** running, unwinding, done, failed */
    state: string
    error: string | null
    /** Set when somebody wants it to stop and unwind. */
    interrupt: string | null
    owner: string | null
    lease_until: string | null
    created_at: string
    updated_at: string
  }
  saga_log: {
    saga_id: string
    seq: number
    step: string
    attempt: number
    /** done, failed, undone, retry */
    event: string
    payload: string | null
    at: string
  }
}

export async function createSagaTables(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('sagas')
    .addColumn('id', idColumn, (c) => c.primaryKey())
    .addColumn('kind', name, (c) => c.notNull())
    .addColumn('subject', name, (c) => c.notNull())
    .addColumn('request_id', idColumn)
    .addColumn('input', text, (c) => c.notNull())
    .addColumn('state', idColumn, (c) => c.notNull())
    .addColumn('error', text)
    .addColumn('interrupt', name)
    .addColumn('owner', idColumn)
    .addColumn('lease_until', time)
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('sagas_state').on('sagas').columns(['state', 'subject']).execute()
  await db.schema
    .createTable('saga_log')
    .addColumn('saga_id', idColumn, (c) => c.notNull())
    .addColumn('seq', integer, (c) => c.notNull())
    .addColumn('step', name, (c) => c.notNull())
    .addColumn('attempt', integer, (c) => c.notNull())
    .addColumn('event', idColumn, (c) => c.notNull())
    .addColumn('payload', text)
    .addColumn('at', time, (c) => c.notNull())
    .addPrimaryKeyConstraint('saga_log_pk', ['saga_id', 'seq'])
    .execute()
}

export type LogEvent = 'done' | 'failed' | 'undone' | 'retry'

export interface LogRecord {
  seq: number
  step: string
  attempt: number
  event: LogEvent
  payload: any
}

/** As it is kept. */
export type WrittenRecord = Omit<LogRecord, 'payload'> & {
  /** JSON. */
  payload: string
}

/** What a saga's log says: which steps stand, with what they recorded, and where it was going. */
export interface Position {
  attempt: number
  seq: number
  standing: Map<string, unknown>
  /** The step whose failure is being unwound, and whether what it may have done is taken back already: its undo may need what steps before it recorded. */
  failed: { step: string; error: any; undone: boolean } | null
  retrying: boolean
}

export function replay(records: LogRecord[]): Position {
  const position: Position = { attempt: 0, seq: 0, standing: new Map(), failed: null, retrying: false }
  for (const record of records) {
    position.seq = record.seq
    if (record.event === 'done') position.standing.set(record.step, record.payload)
    if (record.event === 'undone' && !position.standing.delete(record.step) && position.failed) position.failed.undone = true
    if (record.event === 'failed') position.failed = { step: record.step, error: record.payload.error, undone: false }
    if (record.event === 'failed') position.retrying = record.payload.retry === true
    if (record.event === 'retry') {
      position.attempt = record.attempt
      position.failed = null
      position.retrying = false
    }
  }
  return position
}

/** In their order. */
export const recordsOf = prepared((db: Kysely<SagaTables>, { sagaId }: { sagaId: string }) =>
  db.selectFrom('saga_log').selectAll().where('saga_id', '=', sagaId).orderBy('seq'),
)

export async function append(db: Kysely<any> | Transaction<any>, sagaId: string, records: WrittenRecord[]): Promise<void> {
  const at = timestamp()
  await insertPrepared(
    db,
    'saga_log',
    records.map((record) => ({ saga_id: sagaId, ...record, at })),
  )
}
