import type { Kysely } from 'kysely'
import { fromJson, timestamp, toJson } from '../db/columns.ts'
import { type Database, DatabaseUnreachable } from '../db/database.ts'
import { prepared } from '../db/prepared.ts'
import { describe, Fault, revive } from '../errors/errors.ts'
import type { Log } from '../log/log.ts'
import { collecting, now, record as recordStep } from '../trace/trace.ts'
import { type Interceptor, Killed } from './interceptor.ts'
import { append, type LogEvent, type Position, recordsOf, replay, type SagaTables, type WrittenRecord } from './log.ts'
import type { Run, Saga, Step } from './saga.ts'

type SagaRow = SagaTables['sagas']

/** What a saga runs with. */
export interface Setting<World> {
  /** The name of the service, for the trace. */
  service: string
  database: Database<any>
  world: World
  log: Log
  /** ms between tries of an undo that failed (default 1 000, doubling to a minute). */
  undoRetryMs?: number
  interceptor?: Interceptor
}

/** Whether this process may go on with what it holds. */
export interface Hold {
  /** It is told to leave: the step under way is the last. */
  stopped(): boolean
  /** Another may hold it by now. */
  lost(): boolean
}

/** Whoever holds the saga now goes by its log, to which this process adds nothing. */
export class HoldLost extends Error {}

/** One saga under way in this process: forward from where its log says, or back. */
export class Running<World> {
  private readonly setting: Setting<World>
  private readonly hold: Hold
  private readonly row: SagaRow
  private readonly kind: Saga
  private readonly position: Position
  private readonly input: unknown
  private readonly abort = new AbortController()
  /** Of steps that only looked. */
  private unwritten: WrittenRecord[] = []
  private stretch: { at: Step['at'] | null; kept: Map<string, unknown> } = { at: null, kept: new Map() }

  private constructor(setting: Setting<World>, hold: Hold, row: SagaRow, kind: Saga, position: Position) {
    this.setting = setting
    this.hold = hold
    this.row = row
    this.kind = kind
    this.position = position
    this.input = fromJson(row.input)
    if (row.interrupt) this.interrupt(row.interrupt)
  }

  static async from<World>(setting: Setting<World>, hold: Hold, row: SagaRow, kind: Saga): Promise<Running<World>> {
    const db = setting.database.db as Kysely<SagaTables>
    const { rows } = await recordsOf(db, { sagaId: row.id })
    const position = replay(rows.map((one) => ({ ...one, event: one.event as LogEvent, payload: fromJson(one.payload) })))
    return new Running(setting, hold, row, kind, position)
  }

  /** It stops where it is and unwinds. */
  interrupt(why: string): void {
    this.abort.abort(new Fault(409, 'Interrupted', why))
  }

  /** False if the process is told to stop before that. */
  async toItsEnd(): Promise<boolean> {
    const { kind, position } = this
    for (;;) {
      if (this.hold.stopped()) return false
      if (position.failed) {
        await this.unwind()
        if (this.hold.stopped()) return false
        if (position.failed) return await this.end()
      }
      const next = kind.steps.find((one) => !position.standing.has(one.name))
      if (!next) return await this.close('done', null)
      await this.forward(next)
    }
  }

  private get db(): Kysely<SagaTables> {
    return this.setting.database.db as Kysely<SagaTables>
  }

  private runOf(step: Step | null, stretch = new Map<string, unknown>()): Run<World> {
    const { row, position } = this
    let outputs: Record<string, unknown> | undefined
    return {
      id: row.id,
      kind: row.kind,
      subject: row.subject,
      requestId: row.request_id,
      input: this.input,
      world: this.setting.world,
      get outputs() {
        outputs ??= Object.fromEntries(position.standing)
        return outputs
      },
      attempt: position.attempt,
      signal: this.abort.signal,
      key: `${row.id}/${step?.name ?? 'end'}/${position.attempt}`,
      stretch,
    }
  }

  private async forward(step: Step): Promise<void> {
    const { kind, position, row } = this
    const { signal } = this.abort
    if (this.stretch.at !== step.at) this.stretch = { at: step.at, kept: new Map() }
    const run = this.runOf(step, this.stretch.kept)
    const { interceptor } = this.setting
    const startedAt = now()
    const act = async () => (await step.action(run)) ?? null
    const work = () => collecting(() => (interceptor?.action ? interceptor.action(step, act) : act()))
    try {
      const past = kind.pivot !== undefined && position.standing.has(kind.pivot)
      if (!past) signal.throwIfAborted()
      if (!step.looks) await this.write()
      await step.enter?.(run)
      let done: Awaited<ReturnType<typeof work>>
      if (!past) done = await work()
      else if (!(await this.untilItWorks(step.name, async () => (done = await work())))) return
      const { value, commands } = done!
      const payload = toJson(value)
      const kept = fromJson(payload)
      await this.log({ step: step.name, event: 'done', payload }, step.looks)
      position.standing.set(step.name, kept)
      this.trace(step, startedAt, 'done', step.evidence?.(kept, run) ?? { text: '' }, commands)
    } catch (error) {
      if (error instanceof Killed || error instanceof DatabaseUnreachable || error instanceof HoldLost) throw error
      if (this.hold.stopped()) return
      const retry =
        !signal.aborted && kind.retry !== undefined && position.standing.has(kind.retry.from) && kind.retry.when(error as Error, run)
      const picture = describe(error)
      if (picture.status >= 500 && !(error instanceof Fault))
        this.setting.log.error({ err: error, saga: row.kind, step: step.name, subject: row.subject }, 'step failed')
      await this.log({ step: step.name, event: 'failed', payload: toJson({ error: picture, retry }) })
      position.failed = { step: step.name, error: picture, undone: false }
      position.retrying = retry
      this.trace(step, startedAt, 'failed', { text: picture.message, ...picture.details }, [])
    }
  }

  /** Undoes the failed step and then, from the last to the first, those that stand; back to the retry point only if an alternate may do. */
  private async unwind(): Promise<void> {
    const { kind, position, row } = this
    this.stretch = { at: null, kept: new Map() }
    if (!position.retrying) {
      this.assertHeld()
      await this.db
        .updateTable('sagas')
        .set({ state: 'unwinding', error: toJson(position.failed!.error), updated_at: timestamp() })
        .where('id', '=', row.id)
        .execute()
    }
    const floor = position.retrying ? kind.steps.findIndex((one) => one.name === kind.retry!.from) : -1
    for (let i = kind.steps.length - 1; i > floor; i--) {
      const step = kind.steps[i]!
      const stands = position.standing.has(step.name)
      const failedHere = step.name === position.failed!.step && !position.failed!.undone
      if (!stands && !failedHere) continue
      if (!(await this.undo(step, stands))) return
    }
    if (!position.retrying) return
    const from = kind.retry!.from
    await this.log({ step: from, event: 'undone', payload: toJson(null) })
    const kept = position.standing.get(from)
    position.standing.delete(from)
    position.attempt++
    await this.log({ step: from, event: 'retry', payload: toJson({ previous: kept }) })
    position.failed = null
    position.retrying = false
  }

  /** Tries until it works; false if the process is told to stop before that. */
  private async undo(step: Step, stands: boolean): Promise<boolean> {
    const { position } = this
    const run = this.runOf(step)
    const startedAt = now()
    const take = async () => await step.undo?.(run, stands ? position.standing.get(step.name) : null)
    const undo = async () => await (step.undo && this.setting.interceptor?.undo ? this.setting.interceptor.undo(step, take) : take())
    if (!(await this.untilItWorks(`undo of ${step.name}`, undo))) return false
    if (stands || step.undo) await this.log({ step: step.name, event: 'undone', payload: toJson(null) })
    if (!stands) position.failed!.undone = true
    else {
      position.standing.delete(step.name)
      if (step.undo) this.trace(step, startedAt, 'undone', { text: 'taken back' }, [])
    }
    return true
  }

  /** False if the process is told to stop before that. */
  private async untilItWorks(what: string, work: () => Promise<unknown>): Promise<boolean> {
    const { kind: saga, subject } = this.row
    for (let wait = this.setting.undoRetryMs ?? 1000; ; wait = Math.min(wait * 2, 60_000)) {
      try {
        await work()
        return true
      } catch (error) {
        if (error instanceof Killed) throw error
        this.setting.log.warn({ err: error, saga, subject, againInMs: wait }, `${what} failed`)
        await pauseUnless(this.hold.stopped, wait)
        if (this.hold.stopped()) return false
      }
    }
  }

  private async end(): Promise<boolean> {
    const failed = this.position.failed!.error
    const tell = async () => await this.kind.failed?.(this.runOf(null), revive(failed))
    if (!(await this.untilItWorks('telling of a failure', tell))) return false
    return await this.close('failed', failed)
  }

  private async close(state: 'done' | 'failed', error: unknown): Promise<true> {
    const { row } = this
    await this.write()
    this.assertHeld()
    await end(this.db, { id: row.id, state, error: error ? toJson(error) : null, at: timestamp() })
    this.setting.interceptor?.logged?.({ saga: row.kind, step: '', event: state })
    return true
  }

  private async log(entry: Pick<WrittenRecord, 'step' | 'event' | 'payload'>, later = false): Promise<void> {
    const { position } = this
    this.unwritten.push({ seq: position.seq + 1, attempt: position.attempt, ...entry })
    position.seq++
    if (!later) await this.write()
  }

  private async write(): Promise<void> {
    const { row, unwritten } = this
    if (unwritten.length === 0) return
    this.assertHeld()
    // lost in a power cut, the steps are done again: actions are idempotent
    await this.setting.database.soon((db) => append(db, row.id, unwritten))
    this.unwritten = []
    for (const { step, event } of unwritten) this.setting.interceptor?.logged?.({ saga: row.kind, step, event })
  }

  private assertHeld(): void {
    if (this.hold.lost()) throw new HoldLost(`saga ${this.row.id} may be another process's by now`)
  }

  private trace(step: Step, startedAt: number, outcome: 'done' | 'failed' | 'undone', evidence: { text: string }, commands: any[]): void {
    const { row } = this
    recordStep({
      subject: row.subject,
      step: step.number ?? 0,
      name: step.name,
      service: `${this.setting.service}/${step.at}`,
      requestId: row.request_id ?? undefined,
      saga: row.kind,
      startedAt,
      ms: now() - startedAt,
      outcome,
      evidence,
      commands,
    })
  }
}

const end = prepared((db: Kysely<SagaTables>, { id, state, error, at }: { id: string; state: string; error: string | null; at: string }) =>
  db.updateTable('sagas').set({ state, error, owner: null, lease_until: null, updated_at: at }).where('id', '=', id),
)

/** Resolves after `ms`, or soon after `stopped` says so. */
export function pauseUnless(stopped: () => boolean, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = Date.now() + ms
    const tick = setInterval(
      () => {
        if (Date.now() < end && !stopped()) return
        clearInterval(tick)
        resolve()
      },
      Math.min(ms, 50),
    )
  })
}
