import type { Log } from '../log/log.ts'

export interface ReconcilerStatus {
  name: string
  runs: number
  lastRunAt: string | null
  lastMs: number | null
  lastError: string | null
  /** What the last run did, in words; empty when there was nothing to do. */
  lastChanges: string[]
}

/**
 * A loop without input that makes what is agree with what should be. `run` looks, plans, applies, and returns what it changed. Woken by messages and by a
 * timer; wakes during a run lead to one more run; a failure is tried again after a growing pause.
 */
export class Reconciler {
  readonly name: string
  private readonly work: () => Promise<string[]>
  private readonly everyMs: number
  private readonly log: Log
  private timer: NodeJS.Timeout | undefined
  private running: Promise<void> | undefined
  private again = false
  private stopped = true
  private failures = 0
  private state: ReconcilerStatus

  constructor(options: { name: string; everyMs: number; log: Log; run: () => Promise<string[]> }) {
    this.name = options.name
    this.everyMs = options.everyMs
    this.log = options.log
    this.work = options.run
    this.state = { name: options.name, runs: 0, lastRunAt: null, lastMs: null, lastError: null, lastChanges: [] }
  }

  start(): void {
    this.stopped = false
    this.wake()
  }

  wake(): void {
    if (this.stopped) return
    this.again = true
    this.running ??= this.loop().finally(() => {
      this.running = undefined
      if (this.again) this.wake()
    })
  }

  /** Resolves when a run that began after this call has ended. */
  async settle(): Promise<ReconcilerStatus> {
    await this.running
    this.wake()
    await this.running
    return this.state
  }

  status(): ReconcilerStatus {
    return this.state
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.again = false
    clearTimeout(this.timer)
    await this.running
  }

  private async loop(): Promise<void> {
    clearTimeout(this.timer)
    while (this.again && !this.stopped) {
      this.again = false
      const started = performance.now()
      try {
        const lastChanges = await this.work()
        this.failures = 0
        this.state = { ...this.state, lastError: null, lastChanges }
      } catch (error) {
        this.failures++
        this.state = { ...this.state, lastError: (error as Error).message }
        this.log.warn({ err: error, reconciler: this.name }, 'reconciling failed; it will be tried again')
      }
      this.state = { ...this.state, runs: this.state.runs + 1, lastRunAt: new Date().toISOString(), lastMs: performance.now() - started }
    }
    if (this.stopped) return
    const pause = this.failures > 0 ? Math.min(this.everyMs, 250 * 2 ** this.failures) : this.everyMs
    this.timer = setTimeout(() => this.wake(), pause)
    this.timer.unref()
  }
}
