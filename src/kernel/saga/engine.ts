import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID, randomUUIDv7 } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import { fromJson, timestamp, toJson } from '../db/columns.ts'
import { DatabaseUnreachable } from '../db/database.ts'
import { insertPrepared, prepared } from '../db/prepared.ts'
import { type Fault, revive } from '../errors/errors.ts'
import { Killed } from './interceptor.ts'
import { Leases } from './leases.ts'
import type { SagaTables } from './log.ts'
import { HoldLost, pauseUnless, Running, type Setting } from './running.ts'
import type { Saga } from './saga.ts'

export { type Interceptor, Killed } from './interceptor.ts'

type SagaRow = SagaTables['sagas']

export interface EngineOptions<World> extends Setting<World> {
  sagas: Saga<any>[]
  /** Nobody else works on this database: what an earlier process left is taken over at once. */
  exclusive: boolean
  /** Between the engines of several processes on one database: a subject has something new to look at. Without it they find out by looking every few hundred ms. */
  news?: News
  /** ms that a process may be silent before another takes its sagas over (default 10 000). */
  leaseMs?: number
}

export interface News {
  tell(subject: string): void
  hear(listener: (subject: string) => void): () => void
}

export interface SagaRequest {
  kind: string
  subject: string
  input: unknown
  requestId?: string | null
  id?: string
  /** Tell running sagas of the same subject to stop and unwind first. */
  interruptOthers?: string
}

const LEASE_MS = 10_000
/** Sagas or subjects of one statement. */
const AT_ONCE = 50
/** ms between looks at what another process does with a subject. */
const LOOK_MS = 250
/** ms between looks whether the database is back. */
const DATABASE_RETRY_MS = 500

/** Runs sagas from their log in the database; one at a time for each subject, in the order in which they were asked for. */
export class SagaEngine<World> {
  readonly owner = randomUUID()
  private readonly options: EngineOptions<World>
  private readonly leases: Leases
  private readonly kinds: Map<string, Saga<any>>
  private readonly busy = new Map<string, Promise<void>>()
  private readonly running = new Map<string, Running<World>>()
  private readonly waiters = new Map<string, Set<() => void>>()
  /** Those who wait for a saga of another process to end. */
  private readonly patient = new Map<string, () => void>()
  /** A saga is no part of the request that asked for it, nor of its context. */
  private readonly apart = AsyncLocalStorage.snapshot()
  private lease: NodeJS.Timeout | undefined
  private deaf = () => {}
  private stopped = false
  private stopping: Promise<void> | undefined
  private killed = false
  private submitted = 0

  constructor(options: EngineOptions<World>) {
    this.options = options
    this.leases = new Leases(() => this.db, this.owner, options.leaseMs ?? LEASE_MS)
    this.kinds = new Map(options.sagas.map((one) => [one.kind, one]))
  }

  /** Picks up what an earlier process left, and keeps looking for sagas of processes that died. */
  async start(): Promise<void> {
    await this.takeOver(this.options.exclusive)
    this.deaf = this.options.news?.hear((subject) => this.heard(subject)) ?? this.deaf
    const failed = (error: unknown) => this.options.log.error({ err: error }, 'saga lease')
    this.lease = setInterval(() => this.renew().catch(failed), (this.options.leaseMs ?? LEASE_MS) / 4).unref()
  }

  /** Finishes the steps under way and starts no more: the rest is picked up by the next process, or at once by others. */
  stop(): Promise<void> {
    this.stopping ??= this.leave()
    return this.stopping
  }

  private async leave(): Promise<void> {
    this.stopped = true
    clearInterval(this.lease)
    this.deaf()
    for (const look of this.patient.values()) look()
    await Promise.allSettled(this.busy.values())
    if (this.options.exclusive || this.killed) return
    try {
      for (const subject of await this.leases.giveUp()) this.options.news?.tell(subject)
    } catch (error) {
      this.options.log.warn({ err: error }, 'others go on with the sagas of this process when its lease has ended')
    }
  }

  /** Writes the saga in the caller's transaction, so that it and the rows it is about come into being together. Call {@link wake} after the commit. */
  async submit(trx: Transaction<any>, request: SagaRequest): Promise<string> {
    if (request.interruptOthers)
      await trx
        .updateTable('sagas')
        .set({ interrupt: request.interruptOthers })
        .where('subject', '=', request.subject)
        .where('state', '=', 'running')
        .execute()
    const [id] = await this.submitAll(trx, [request])
    return id!
  }

  /** The same of many, each of another subject. */
  async submitAll(trx: Transaction<any>, requests: Omit<SagaRequest, 'interruptOthers'>[]): Promise<string[]> {
    const rows: SagaRow[] = []
    for (let at = 0; at < requests.length; at += AT_ONCE) {
      const some = await this.rowsOf(trx, requests.slice(at, at + AT_ONCE))
      if (some.length === 1) await insertPrepared(trx, 'sagas', some[0]!)
      else await trx.insertInto('sagas').values(some).execute()
      rows.push(...some)
    }
    return rows.map((row) => row.id)
  }

  private async rowsOf(trx: Transaction<any>, requests: Omit<SagaRequest, 'interruptOthers'>[]): Promise<SagaRow[]> {
    const subjects = requests.map(({ subject }) => subject)
    const last = this.options.exclusive ? new Map<string, string>() : await lastOf(trx, subjects)
    const at = timestamp()
    return requests.map(({ id = randomUUIDv7(), kind, subject, requestId = null, input }) => {
      if (!this.kinds.has(kind)) throw new Error(`no saga ${kind}`)
      const mine = `${at}.${String(this.submitted++ % 1_000_000).padStart(6, '0')}` // those of one moment keep their order
      return {
        id,
        kind,
        subject,
        request_id: requestId,
        input: toJson(input),
        state: 'running',
        error: null,
        interrupt: null,
        ...(this.stopped ? { owner: null, lease_until: null } : this.leases.mine()), // a request may still come while this process leaves
        created_at: behind(last.get(subject), mine),
        updated_at: at,
      }
    })
  }

  /** Runs what is waiting for these subjects, after the sagas before it. */
  wake(...subjects: string[]): void {
    for (const subject of subjects) this.options.news?.tell(subject)
    // where nobody else works, there is something to interrupt only of what runs here
    this.interrupt(this.options.exclusive ? subjects.filter((subject) => this.busy.has(subject)) : subjects)
    for (const subject of subjects) this.begin(subject)
  }

  private heard(subject: string): void {
    this.interrupt([subject])
    this.patient.get(subject)?.()
  }

  private interrupt(subjects: string[]): void {
    this.look(subjects).catch((error) => this.options.log.error({ err: error }, 'interrupting sagas'))
  }

  private async look(subjects: string[]): Promise<void> {
    for (let at = 0; at < subjects.length; at += AT_ONCE) {
      const rows = await this.db
        .selectFrom('sagas')
        .select(['id', 'subject', 'interrupt', 'owner'])
        .where('subject', 'in', subjects.slice(at, at + AT_ONCE))
        .where('state', 'in', ['running', 'unwinding'])
        .where((where) => where.or([where('interrupt', 'is not', null), where('owner', 'is', null)]))
        .execute()
      for (const { id, interrupt } of rows) if (interrupt) this.running.get(id)?.interrupt(interrupt)
      const unowned = new Set(rows.flatMap(({ owner, subject }) => (owner === null ? [subject] : [])))
      for (const subject of unowned) if (!this.stopped) await this.takeOver(false, subject)
    }
  }

  private begin(subject: string): void {
    if (this.busy.size === 0) this.leases.begin()
    const before = this.busy.get(subject) ?? Promise.resolve()
    const work: Promise<void> = before
      .then(() => this.apart(() => this.persist(subject)))
      .finally(() => this.busy.get(subject) === work && this.busy.delete(subject))
    work.catch((error) => {
      if (error instanceof Killed) this.killed = true
      else this.options.log.error({ err: error, subject }, 'saga engine')
    })
    this.busy.set(subject, work)
  }

  /** Resolves with the saga's end state; with `unwindingMs` also when it has failed and cannot be taken back for so long, because a host is silent; with `past` also when that step is done. */
  async finished(
    id: string,
    { unwindingMs = Number.POSITIVE_INFINITY, past }: { unwindingMs?: number; past?: string } = {},
  ): Promise<{ state: string; error: Fault | null }> {
    let failedAt = Number.POSITIVE_INFINITY
    for (;;) {
      const waiting = new Promise<void>((resolve) => this.waiters.set(id, (this.waiters.get(id) ?? new Set()).add(resolve)))
      const row = await this.db.selectFrom('sagas').select(['state', 'error']).where('id', '=', id).executeTakeFirstOrThrow()
      if (row.state === 'unwinding') failedAt = Math.min(failedAt, performance.now())
      const far = past !== undefined && row.state === 'running' && (await this.hasDone(id, past))
      if (far || ['done', 'failed'].includes(row.state) || performance.now() - failedAt > unwindingMs)
        return { state: row.state, error: row.error ? revive(fromJson(row.error)) : null }
      const looks = !this.options.exclusive || past !== undefined || unwindingMs < Number.POSITIVE_INFINITY // it may have gone to another process
      await Promise.race([waiting, looks ? this.pause(LOOK_MS) : waiting])
    }
  }

  private async hasDone(id: string, step: string): Promise<boolean> {
    const query = this.db
      .selectFrom('saga_log')
      .select('seq')
      .where('saga_id', '=', id)
      .where('step', '=', step)
      .where('event', '=', 'done')
    return (await query.executeTakeFirst()) !== undefined
  }

  /** Those of the subjects that have a saga (of this kind) which has not ended, in whatever process. */
  async underWay(trx: Transaction<any>, subjects: string[], kind?: string): Promise<string[]> {
    if (subjects.length === 0) return []
    let query = trx.selectFrom('sagas').select('subject').where('state', 'in', ['running', 'unwinding']).where('subject', 'in', subjects)
    if (kind !== undefined) query = query.where('kind', '=', kind)
    return (await query.execute()).map((row) => row.subject)
  }

  /** Resolves when nothing is under way in this process. */
  async idle(): Promise<void> {
    while (this.busy.size > 0) await Promise.allSettled([...this.busy.values()])
  }

  private get db(): Kysely<SagaTables> {
    return this.options.database.db as Kysely<SagaTables>
  }

  private lost(): boolean {
    return !this.options.exclusive && this.leases.ended
  }

  /** Those of its own that nobody works on were asked for by a transaction of which nobody heard that it was committed. */
  private async takeOver(all: boolean, subject?: string): Promise<void> {
    const taken = await this.leases.take({ all, subject, busy: (own) => this.busy.has(own) })
    if (taken.size > 0 && !this.options.exclusive) await this.leases.renew()
    for (const one of taken) this.begin(one)
  }

  private async renew(): Promise<void> {
    if (!this.options.exclusive) this.interrupt([...this.busy.keys()]) // news may get lost
    if (this.busy.size > 0) await this.leases.renew()
    if (!this.options.exclusive) await this.takeOver(false)
  }

  /** While the database does not answer, or did not say whether it wrote a record, or the lease has ended, a saga stands still; then it goes on by its log, as after a kill, unless another has it. */
  private async persist(subject: string): Promise<void> {
    while (!this.stopped)
      try {
        if (this.lost()) await this.leases.renew()
        return await this.drain(subject)
      } catch (error) {
        if (!(error instanceof DatabaseUnreachable || error instanceof HoldLost)) throw error
        this.options.log.warn({ err: error, subject, againInMs: DATABASE_RETRY_MS }, 'sagas wait for the database')
        await this.pause(DATABASE_RETRY_MS)
      }
  }

  private async drain(subject: string): Promise<void> {
    while (!this.stopped) {
      const { rows: open } = await openSagas(this.db, { subject })
      if (!open.some((row) => row.owner === this.owner)) return
      if (open[0]!.owner !== this.owner) await this.othersTurn(subject)
      else {
        await this.run(open[0]!)
        if (open.length === 1) return // whoever asks for another wakes it
      }
    }
  }

  /** A saga of another process comes first. Resolves when there is news of the subject, or it is time to look; {@link takeOver} deals with a process that died. */
  private othersTurn(subject: string): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        clearTimeout(timer)
        this.patient.delete(subject)
        resolve()
      }
      const timer = setTimeout(look, LOOK_MS)
      this.patient.set(subject, look)
    })
  }

  private async run(row: SagaRow): Promise<void> {
    const kind = this.kinds.get(row.kind)
    if (!kind) throw new Error(`saga ${row.id} is a ${row.kind}, which this version does not know`)
    const running = await Running.from(this.options, { stopped: () => this.stopped, lost: () => this.lost() }, row, kind)
    this.running.set(row.id, running)
    try {
      if (!(await running.toItsEnd())) return
    } finally {
      this.running.delete(row.id)
    }
    this.options.news?.tell(row.subject)
    for (const wake of this.waiters.get(row.id) ?? []) wake()
    this.waiters.delete(row.id)
  }

  private pause(ms: number): Promise<void> {
    return pauseUnless(() => this.stopped, ms)
  }
}

const openSagas = prepared((db: Kysely<SagaTables>, { subject }: { subject: string }) =>
  db
    .selectFrom('sagas')
    .selectAll()
    .where('subject', '=', subject)
    .where('state', 'in', ['running', 'unwinding'])
    .orderBy('created_at')
    .orderBy('id'),
)

/** When the latest saga of each subject was asked for. */
async function lastOf(trx: Transaction<any>, subjects: string[]): Promise<Map<string, string>> {
  const rows = await trx
    .selectFrom('sagas')
    .select((eb) => ['subject', eb.fn.max<string>('created_at').as('at')])
    .where('subject', 'in', subjects)
    .where('state', 'in', ['running', 'unwinding'])
    .groupBy('subject')
    .execute()
  return new Map(rows.map(({ subject, at }) => [subject, at]))
}

/** Clocks differ: a saga that is asked for later comes later, also when this process's clock is behind. */
function behind(last: string | undefined, at: string): string {
  if (last === undefined || last < at) return at
  const [moment, count] = [last.slice(0, -7), Number(last.slice(-6))]
  return `${moment}.${String(count + 1).padStart(6, '0')}`
}
