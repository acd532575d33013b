/** Of events that nobody has waited for yet. */
const KEPT = 1_000

/** Who waits for another service to say that something of its own (a port, a volume) is done. Only wakes: whether it is so is asked of that service, so that a lost event costs time and nothing else. */
export class ExternalEvents {
  private readonly waiting = new Map<string, Set<() => void>>()
  private readonly early = new Set<string>()

  /** An event came for the thing of this id. */
  seen(id: string): void {
    const waiting = this.waiting.get(id)
    for (const wake of waiting ?? []) wake()
    if (waiting) return
    this.early.add(id)
    if (this.early.size > KEPT) this.early.delete(this.early.values().next().value!)
  }

  /** Resolves at the next event of one of them, at once if one came before anybody waited, after `timeoutMs` at the latest, or when `signal` aborts. */
  next(ids: string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
    const came = ids.filter((id) => this.early.delete(id))
    if (came.length > 0) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        for (const id of ids) {
          const set = this.waiting.get(id)
          set?.delete(end)
          if (set?.size === 0) this.waiting.delete(id)
        }
        resolve()
      }
      const timer = setTimeout(end, timeoutMs)
      signal.addEventListener('abort', end)
      for (const id of ids) this.waiting.set(id, (this.waiting.get(id) ?? new Set()).add(end))
    })
  }
}
