import type { Readable } from 'node:stream'
import { Fault } from '../errors/errors.ts'

/** How slowly data may come: `bytes` at least in each `ms` that are spent waiting for them. */
export interface Pace {
  bytes: number
  ms: number
}

/**
 * The chunks of a stream whose sender keeps to a pace; what the reader needs for them is not the sender's time. The stream is not destroyed at the end: its sender must be answered.
 * @throws Fault 408, with which the connection ends
 */
export async function* paced(stream: Readable, pace: Pace): AsyncGenerator<Buffer> {
  const chunks = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  let [waited, came, waiting] = [0, 0, false]
  try {
    for (;;) {
      const began = performance.now()
      waiting = true
      const next = await within(pace.ms - waited, chunks.next(), () => tooSlow(pace))
      waiting = false
      if (next.done) return
      waited += performance.now() - began
      came += next.value.length
      if (came >= pace.bytes) [waited, came] = [0, 0]
      yield next.value
    }
  } finally {
    if (!waiting) await chunks.return?.()
  }
}

/** @throws what `late` says when the work is not done in time; the work itself is not stopped */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms)
  })
  try {
    return await Promise.race([work, end])
  } finally {
    clearTimeout(timer)
    work.catch(() => {}) // of a connection that ended
  }
}

const tooSlow = ({ bytes, ms }: Pace) =>
  new Fault(408, 'RequestTimeout', `The data came too slowly: less than ${bytes} bytes in ${ms / 1000} s. Send them again.`, {
    headers: { Connection: 'close' },
  })
