import { setTimeout as pause } from 'node:timers/promises'
import type { Connection, Envelope, Publisher, ReturnedMessage } from 'rabbitmq-client'

/** A broker confirms within milliseconds. */
const CONFIRM_MS = 1_000
const MOST_CONFIRM_MS = 8_000
const AGAIN_MS = 100

export interface SenderOptions {
  connection: Connection
  exchange: string
  /** There is no queue for a message that was sent as mandatory. */
  onReturn: (message: ReturnedMessage) => void
}

/**
 * Sends until a broker has confirmed. A quorum queue loses what a channel sends while its leader changes (RabbitMQ before 4.2), without telling anybody, and everything that
 * this channel sends to it later waits for what was lost: what is not confirmed is sent again on another channel.
 */
export class Sender {
  private readonly options: SenderOptions
  private publisher: Publisher
  private closed = false

  constructor(options: SenderOptions) {
    this.options = options
    this.publisher = this.open()
  }

  /** Returns when a broker has it, or when it is not `wanted` any more. A message may arrive more than once. @throws why it was not taken, when it is not wanted any more */
  async send(envelope: Envelope, body: unknown, wanted: () => boolean): Promise<void> {
    for (let patience = CONFIRM_MS; ; patience = Math.min(patience * 2, MOST_CONFIRM_MS)) {
      const { publisher } = this
      const sent = publisher.send(envelope, body).then(
        () => null,
        (error: Error) => error,
      )
      let failure = await within(patience, sent)
      while (failure === 'late' && wanted() && !this.options.connection.ready) failure = await within(patience, sent) // it waits for a connection
      if (failure === null) return
      if (!wanted() || this.closed) {
        if (failure === 'late') return
        throw failure
      }
      if (failure !== 'late') await pause(AGAIN_MS)
      if (failure === 'late' || (failure as { code?: string }).code === 'NACK') this.change(publisher)
    }
  }

  private change(stuck: Publisher): void {
    if (this.publisher !== stuck || this.closed) return
    this.publisher = this.open()
    void stuck.close().catch(() => {})
  }

  private open(): Publisher {
    const { connection, exchange, onReturn } = this.options
    const publisher = connection.createPublisher({ confirm: true, exchanges: [{ exchange, type: 'direct', durable: true }] })
    publisher.on('basic.return', onReturn)
    return publisher
  }

  async close(): Promise<void> {
    this.closed = true
    await this.publisher.close()
  }
}

/** For {@link Sender.send}: until so many ms from now. */
export function wantedFor(ms: number): () => boolean {
  const until = performance.now() + ms
  return () => performance.now() < until
}

export async function within<T>(ms: number, work: Promise<T>): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, ms, 'late')
  })
  return await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
