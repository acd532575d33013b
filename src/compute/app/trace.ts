import { setImmediate } from 'node:timers/promises'
import { fromJson } from '../../kernel/db/columns.ts'
import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { StepRecord } from '../../kernel/trace/trace.ts'
import { blockDevicesOf } from '../db/instances.ts'
import { insertSteps, stepsOf } from '../db/steps.ts'
import type { ComputeTables, InstanceRow } from '../db/tables.ts'
import type { Vif } from '../rpc.ts'
import { FIFTY_STEPS } from './fifty-steps.ts'

/** The longer, the more of what happens to one subject is written together. */
const FLUSH_MS = 200

/** Keeps the step records of this process and of the hosts; written in batches, so that a step does not wait for its own record. */
export class TraceKeeper {
  private readonly database: Database<ComputeTables>
  private readonly log: Log
  private waiting: StepRecord[] = []
  private timer: NodeJS.Timeout | undefined
  private writing: Promise<void> = Promise.resolve()

  constructor(database: Database<ComputeTables>, log: Log) {
    this.database = database
    this.log = log
  }

  keep(records: StepRecord[]): void {
    this.waiting.push(...records)
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS)
  }

  /** Resolves when all that was kept until now is in the database. */
  flush(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    const batch = this.waiting.splice(0)
    if (batch.length > 0)
      this.writing = this.writing
        .then(() => this.database.soon((db) => insertSteps(db, batch)))
        .catch((error) => this.log.error({ err: error, records: batch.length }, 'step records could not be written'))
    return this.writing
  }

  async of(subjects: string[]): Promise<StepRecord[]> {
    await setImmediate() // what hosts sent before is being handed over
    await this.flush()
    return await stepsOf(this.database.db, subjects)
  }
}

export interface TracedStep {
  step: number
  name: string
  title: string
  chapter: string
  status: 'done' | 'failed' | 'undone' | 'not happened'
  service: string | null
  started_at: string | null
  ms: number | null
  evidence: { text: string; [key: string]: unknown }
  commands: { what: string; ms: number; output?: string }[]
}

/** The fifty steps of one server, done or not; its ports' and volumes' records are among them. */
export async function traceOf(keeper: TraceKeeper, database: Database<ComputeTables>, row: InstanceRow): Promise<TracedStep[]> {
  const vifs: Vif[] = fromJson(row.network_info_json)
  const devices = await blockDevicesOf(database.db, [row.id])
  const volumes = devices.flatMap((one) => one.volume_id ?? [])
  const own = await keeper.of([`server:${row.id}`, ...vifs.map((vif) => `port:${vif.portId}`)])
  const attached = new Set([...volumes, ...own.flatMap((one) => (typeof one.evidence.volumeId === 'string' ? one.evidence.volumeId : []))])
  const records = [...own, ...(await keeper.of([...attached].map((id) => `volume:${id}`)))]
  const audits = records.flatMap((one) => (typeof one.evidence.auditId === 'string' ? `token:${one.evidence.auditId}` : []))
  records.push(...(await keeper.of([...new Set(audits)])))
  const latest = new Map<number, StepRecord>()
  for (const one of records) if (betterThan(one, latest.get(one.step))) latest.set(one.step, one)
  return FIFTY_STEPS.map((article) => view(article, latest.get(article.step)))
}

/** The first time that a thing worked is its story (a later reboot's lease is not); until it has worked, the last try. */
function betterThan(one: StepRecord, other: StepRecord | undefined): boolean {
  if (!other) return true
  const works = one.outcome === 'done'
  const worked = other.outcome === 'done'
  if (works !== worked) return works && one.startedAt > other.startedAt ? true : !works && one.startedAt > other.startedAt
  return works ? one.startedAt < other.startedAt : one.startedAt > other.startedAt
}

function view(article: (typeof FIFTY_STEPS)[number], record: StepRecord | undefined): TracedStep {
  return {
    step: article.step,
    name: article.name,
    title: article.title,
    chapter: article.chapter,
    status: record?.outcome ?? 'not happened',
    service: record?.service ?? null,
    started_at: record ? new Date(record.startedAt).toISOString() : null,
    ms: record?.ms ?? null,
    evidence: record?.evidence ?? { text: '' },
    commands: record?.commands ?? [],
  }
}
