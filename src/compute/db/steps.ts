import { randomUUID } from 'node:crypto'
import { fromJson, toJson } from '../../kernel/db/columns.ts'
import type { StepRecord } from '../../kernel/trace/trace.ts'
import type { Handle } from './handle.ts'

export async function insertSteps(db: Handle, records: StepRecord[]): Promise<void> {
  if (records.length === 0) return
  await db
    .insertInto('steps')
    .values(
      records.map((one) => ({
        id: randomUUID(),
        subject: one.subject,
        step: one.step,
        name: one.name,
        service: one.service,
        request_id: one.requestId ?? null,
        saga: one.saga ?? null,
        started_at: one.startedAt,
        ms: one.ms,
        outcome: one.outcome,
        evidence_json: toJson(one.evidence),
        commands_json: toJson(one.commands ?? []),
      })),
    )
    .execute()
}

/** In the order in which they began. */
export async function stepsOf(db: Handle, subjects: string[]): Promise<StepRecord[]> {
  if (subjects.length === 0) return []
  const rows = await db.selectFrom('steps').selectAll().where('subject', 'in', subjects).orderBy('started_at').execute()
  return rows.map((row) => ({
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
  }))
}
