/** Who waits for the network to say that a port is plugged. Only wakes: whether it is so is asked of the network, so that a lost event costs time and nothing else. */
export class PlugEvents {
  private readonly waiting = new Map<string, Set<() => void>>()

  /** An event came for this port. */
  seen(portId: string): void {
    for (const wake of this.waiting.get(portId) ?? []) wake()
  }

  /** Resolves at the next event of one of the ports, after `timeoutMs` at the latest, or when `signal` aborts. */
  next(portIds: string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
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
