import { randomUUID } from 'node:crypto'
import { fromJson, toJson } from '../../kernel/db/columns.ts'
import type { StepRecord } from '../../kernel/trace/trace.ts'
import type { Handle } from './handle.ts'
import type { StepRow } from './tables.ts'

export async function insertSteps(db: Handle, records: StepRecord[]): Promise<void> {
  if (records.length === 0) return
  const rows = [...Map.groupBy(records, ({ subject }) => subject)].map(([subject, of]) => ({
    subject,
    batch: randomUUID(),
    records_json: toJson(of),
  }))
  await db.insertInto('step_records').values(rows).execute()
}

/** In the order in which they began. */
export async function stepsOf(db: Handle, subjects: string[]): Promise<StepRecord[]> {
  if (subjects.length === 0) return []
  const batches = await db.selectFrom('step_records').select('records_json').where('subject', 'in', subjects).execute()
  const single = await db.selectFrom('steps').selectAll().where('subject', 'in', subjects).execute()
  const records = [...batches.flatMap((row) => fromJson<StepRecord[]>(row.records_json)), ...single.map(recordOf)]
  return records.sort((a, b) => a.startedAt - b.startedAt)
}

const recordOf = (row: StepRow): StepRecord => ({
  subject: row.subject,
  step: Number(row.step),
  name: row.name,
  service: row.service,
  ...(row.request_id ? { requestId: row.request_id } : {}),
  ...(row.saga ? { saga: row.saga } : {}),
  startedAt: row.started_at,
  ms: row.ms,
  outcome: row.outcome as StepRecord['outcome'],
  evidence: fromJson(row.evidence_json),
  commands: fromJson(row.commands_json),
})
