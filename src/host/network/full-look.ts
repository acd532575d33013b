/**
 * Whether a run must look at everything as it is, or may trust that what it left is still so and see only to what control changed. Everything is looked at
 * first, when somebody demands it (the switch was away), after a failure, and every `everyMs` ms.
 */
export class FullLook {
  private readonly everyMs: number
  private demanded = true
  private last = 0

  constructor(everyMs: number) {
    this.everyMs = everyMs
  }

  demand(): void {
    this.demanded = true
  }

  /** To be asked once at the start of a run. */
  isDue(): boolean {
    const due = this.demanded || performance.now() - this.last >= this.everyMs * 0.9
    this.demanded = false
    if (due) this.last = performance.now()
    return due
  }

  /** Runs `work`; when it fails the next run looks at everything. */
  async watching<T>(work: (full: boolean) => Promise<T>): Promise<T> {
    try {
      return await work(this.isDue())
    } catch (error) {
      this.demand()
      throw error
    }
  }
}
