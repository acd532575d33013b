/** Runs what has the same key one after the other. */
export function locks() {
  const last = new Map<string, Promise<unknown>>()
  return <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const mine = (last.get(key) ?? Promise.resolve()).then(work, work)
    const settled = mine.then(
      () => {},
      () => {},
    )
    last.set(key, settled)
    settled.then(() => last.get(key) === settled && last.delete(key))
    return mine
  }
}
