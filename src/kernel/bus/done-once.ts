/** Remembers what was answered to a key, so that a message that comes again is answered and not done again. */
export class DoneOnce {
  private readonly answers = new Map<string, Promise<unknown>>()

  /** Without a key, or after a failure, the work is done (again). */
  run<T>(id: string, key: string | undefined, work: () => Promise<T>): Promise<T> {
    if (!key) return work()
    const known = this.answers.get(`${id} ${key}`)
    if (known) return known as Promise<T>
    const answer = work()
    this.answers.set(`${id} ${key}`, answer)
    answer.then(
      () => this.forget(),
      () => this.answers.delete(`${id} ${key}`),
    )
    return answer
  }

  private forget(): void {
    if (this.answers.size > 4096) for (const id of [...this.answers.keys()].slice(0, 1024)) this.answers.delete(id)
  }
}
