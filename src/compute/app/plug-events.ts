/** Of events that nobody has waited for yet. */
const KEPT = 1_000

/** Who waits for the network to say that a port is plugged. Only wakes: whether it is so is asked of the network, so that a lost event costs time and nothing else. */
export class PlugEvents {
  private readonly waiting = new Map<string, Set<() => void>>()
  private readonly early = new Set<string>()

  /** An event came for this port. */
  seen(portId: string): void {
    const waiting = this.waiting.get(portId)
    for (const wake of waiting ?? []) wake()
    if (waiting) return
    this.early.add(portId)
    if (this.early.size > KEPT) this.early.delete(this.early.values().next().value!)
  }

  /** Resolves at the next event of one of the ports, at once if one came before anybody waited, after `timeoutMs` at the latest, or when `signal` aborts. */
  next(portIds: string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
    const came = portIds.filter((id) => this.early.delete(id))
    if (came.length > 0) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        for (const id of portIds) {
          const set = this.waiting.get(id)
          set?.delete(end)
          if (set?.size === 0) this.waiting.delete(id)
        }
        resolve()
      }
      const timer = setTimeout(end, timeoutMs)
      signal.addEventListener('abort', end)
      for (const id of portIds) this.waiting.set(id, (this.waiting.get(id) ?? new Set()).add(end))
    })
  }
}
