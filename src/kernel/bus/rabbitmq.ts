import { randomUUID } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import type { AsyncMessage, Connection, Consumer, Envelope } from 'rabbitmq-client'
import { unavailable } from '../errors/errors.ts'
import {
  type Bus,
  type BusStats,
  type CallOptions,
  type Handler,
  type Message,
  noAnswer,
  noReceiver,
  type OnBusError,
  PATIENCE_MS,
} from './bus.ts'
import { DoneOnce } from './done-once.ts'
import { type Answer, answered, answerOf } from './frames.ts'
import { EVENTS, RabbitEvents } from './rabbit-events.ts'
import { Sender, wantedFor, within } from './rabbit-sender.ts'

/** Messages of one process under way at once. */
const AT_ONCE = 128
/** A receiver that answered this recently is not asked about. */
const SEEN_MS = 500
const LOOK_AGAIN_MS = 200
const LOOK_MS = 1_000
/** Looks in a row that must say so before a receiver is made anew. */
const LOOKS = 2
/** A receiver that is being made gets as many. */
const PATIENT_LOOKS = 5
/** Receivers in a row that no queue took, after which the queue itself is made anew. */
const IN_VAIN = 2
/** Nothing is heard on a connection for so long, though it stands. */
const DEAF_MS = 6_000
/** RabbitMQ asks each member of a queue that is to go for five seconds. */
const REMOVAL_MS = 30_000
/** A message may be lost on its way from a broker that dies: receivers know a repeat. */
const ANSWER_MS = 5_000
const CLOSE_MS = 2_000
const queueOf = (topic: string) => `yun.${topic}`
/** Queues of hosts that never come back go after a week without receivers. */
const QUEUE = { durable: true, arguments: { 'x-queue-type': 'quorum' as const, 'x-expires': 7 * 86_400_000 } }

interface Sent {
  name: string
  payload: unknown
  key?: string
  requestId?: string
  /** ms since the epoch: nobody waits any more after it. */
  until: number
}

interface Asked {
  topic: string
  /** performance.now() from when on it is asked again, and the ms until then. */
  again: number
  patienceMs: number
  envelope: Envelope
  body: Sent
  settle: (answer: Answer | 'returned') => void
}

/**
 * The bus of a cluster: each topic is a quorum queue that its receivers share, each process has a queue for answers and one for the events it listens to. A message is
 * acknowledged when it is done, so one whose receiver dies goes to the next; a caller whose broker dies asks again through another.
 */
export class RabbitBus implements Bus {
  private readonly connection: Connection
  private readonly sender: Sender
  private readonly consumers = new Map<string, Consumer>()
  private readonly receivers = new Map<string, Map<string, Handler<any, any>>>()
  private readonly events: RabbitEvents
  private readonly asked = new Map<string, Asked>()
  private readonly seen = new Map<string, number>()
  /** Asked again by a caller whose broker died, while the first is still being done here. */
  private readonly underWay = new Set<string>()
  private readonly once = new DoneOnce()
  /** Of each topic served here. */
  private readonly flow = new Map<string, { received: number; underWay: number; before: number; silent: number; inVain: number }>()
  private looking: NodeJS.Timeout | undefined
  private closed = false
  private readonly own = randomUUID()
  private readonly replies = `yun.replies.${this.own}`
  private readonly urls: string[]
  private readonly onError: OnBusError
  private readonly patienceMs: number

  /** Use {@link connectRabbit}. */
  constructor(connection: Connection, urls: string[], onError: OnBusError, patienceMs: number) {
    this.connection = connection
    this.urls = urls
    this.onError = onError
    this.patienceMs = patienceMs
    const onReturn = (message: { correlationId?: unknown }) => this.asked.get(String(message.correlationId))?.settle('returned')
    this.sender = new Sender({ connection, exchange: EVENTS, onReturn })
    this.events = new RabbitEvents(connection, this.sender, `yun.events.${this.own}`, onError)
  }

  /** Makes this process's own queues. */
  async open(): Promise<void> {
    const own = { exclusive: true, autoDelete: true }
    const consumers = [
      this.connection.createConsumer({ queue: this.replies, queueOptions: own, noAck: true, concurrency: AT_ONCE }, (message) => {
        this.asked.get(String(message.correlationId))?.settle(message.body as Answer)
      }),
      this.events.consume(own),
    ]
    for (const [i, consumer] of consumers.entries()) this.consumers.set(`own ${i}`, this.watch(consumer, 'own queues'))
    await Promise.all(consumers.map((one) => new Promise<void>((resolve) => one.once('ready', resolve))))
    this.looking = setTimeout(() => this.lookAfter(), LOOK_MS).unref()
    consumers[0]!.on('ready', () => [...this.asked.keys()].map((id) => this.ask(id))) // not before there is a queue for the answers
  }

  async call<In, Out>(topic: string, { name }: Message<In, Out>, payload: In, options: CallOptions = {}): Promise<Out> {
    const timeoutMs = options.timeoutMs ?? PATIENCE_MS
    await this.events.bound(ANSWER_MS) // what was subscribed to before counts
    await this.receiverOf(topic, name, Math.min(timeoutMs, this.patienceMs))
    const id = randomUUID()
    let timer: NodeJS.Timeout | undefined
    try {
      const answer = await new Promise<Answer | 'returned'>((resolve, reject) => {
        timer = setTimeout(() => reject(noAnswer(topic, name, timeoutMs)), timeoutMs)
        const until = Date.now() + timeoutMs
        const body: Sent = { name, payload, key: options.key, requestId: options.requestId, until }
        const envelope: Envelope = {
          routingKey: queueOf(topic),
          correlationId: id,
          replyTo: this.replies,
          expiration: String(timeoutMs),
          durable: true,
          mandatory: true,
        }
        this.asked.set(id, { topic, envelope, body, again: 0, patienceMs: ANSWER_MS, settle: resolve })
        this.ask(id)
      })
      if (answer === 'returned') throw noReceiver(topic, name) // there is no such queue any more
      this.seen.set(topic, performance.now())
      return answered(answer) as Out
    } finally {
      clearTimeout(timer)
      this.asked.delete(id)
    }
  }

  async cast<In>(topic: string, { name }: Message<In, unknown>, payload: In, options: CallOptions = {}): Promise<void> {
    await this.receiverOf(topic, name, this.patienceMs)
    const body: Sent = { name, payload, key: options.key, requestId: options.requestId, until: Number.MAX_SAFE_INTEGER }
    await this.sender.send({ routingKey: queueOf(topic), durable: true, mandatory: true }, body, wantedFor(PATIENCE_MS))
  }

  /** Nothing is put into the queue of a receiver that is gone: it would do it when it comes back, long after the sender gave up. */
  private async receiverOf(topic: string, name: string, patienceMs: number): Promise<void> {
    if (performance.now() - (this.seen.get(topic) ?? Number.NEGATIVE_INFINITY) < SEEN_MS) return
    const until = performance.now() + patienceMs
    for (;;) {
      const found = await this.connection.queueDeclare({ queue: queueOf(topic), passive: true }).catch((error) => {
        if ((error as { code?: string }).code === 'NOT_FOUND') return null
        if (performance.now() < until) return null
        throw unavailable(`the message broker does not answer: ${(error as Error).message}`, 'BusUnreachable', error)
      })
      if (found && found.consumerCount > 0) break
      if (performance.now() >= until) throw noReceiver(topic, name)
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
    }
    this.seen.set(topic, performance.now())
  }

  private ask(id: string): void {
    const asked = this.asked.get(id)!
    asked.again = performance.now() + asked.patienceMs
    asked.patienceMs *= 2
    const { envelope, body } = asked
    this.sender.send(envelope, body, () => this.asked.has(id)).catch(() => {}) // only when nobody waits for the answer any more
  }

  serve<In, Out>(topic: string, { name }: Message<In, Out>, handler: Handler<In, Out>): () => void {
    const handlers = this.receivers.get(topic) ?? new Map()
    this.receivers.set(topic, handlers.set(name, handler))
    if (!this.consumers.has(topic)) this.consume(topic)
    return () => {
      if (handlers.get(name) !== handler) return
      handlers.delete(name)
      if (handlers.size > 0) return
      this.receivers.delete(topic)
      void this.consumers.get(topic)?.close()
      this.consumers.delete(topic)
    }
  }

  private consume(topic: string): void {
    const options = { queue: queueOf(topic), queueOptions: QUEUE, qos: { prefetchCount: AT_ONCE }, concurrency: AT_ONCE }
    const consumer = this.connection.createConsumer({ ...options, lazy: true }, (message) => this.receive(topic, message))
    this.consumers.set(topic, this.watch(consumer, topic))
    setImmediate(() => this.consumers.get(topic) === consumer && consumer.start()) // with all that is served in one breath
  }

  private async lookAfter(): Promise<void> {
    for (const [id, { again }] of this.asked) if (performance.now() > again) this.ask(id)
    for (const topic of this.receivers.keys()) if (this.connection.ready) await this.comeBack(topic)
    if (!this.closed) this.looking = setTimeout(() => this.lookAfter(), LOOK_MS).unref()
  }

  /**
   * A queue whose leader changes just when a receiver comes may forget it, or count it and deliver nothing, and tells nobody: a receiver that gets nothing while
   * messages wait for it is made anew.
   */
  private async comeBack(topic: string): Promise<void> {
    const asked = this.connection.queueDeclare({ queue: queueOf(topic), passive: true }).catch(() => null)
    const found = await within(DEAF_MS, asked)
    const idle = this.consumers.get(topic)
    if (found === 'late') return this.leaveBroker()
    if (!found || !idle) return
    const flow = this.flowOf(topic)
    const stuck = found.messageCount > 0 && flow.received === flow.before && flow.underWay < AT_ONCE
    flow.before = flow.received
    flow.silent = stuck || found.consumerCount === 0 ? flow.silent + 1 : 0
    if (idle.consumerTag) flow.inVain = 0
    if (flow.silent < (idle.consumerTag ? LOOKS : PATIENT_LOOKS)) return
    flow.silent = 0
    if (!idle.consumerTag && found.consumerCount === 0 && found.messageCount === 0 && ++flow.inVain === IN_VAIN)
      return void this.removeQueue(topic).catch((error) => this.onError(error, topic))
    this.consume(topic)
    void idle.close().catch((error) => this.onError(error, topic))
  }

  /** A broker whose channel failed ends a connection when all its other channels have ended, which those of half-made queues do after a minute and more; it answers nothing meanwhile. */
  private leaveBroker(): void {
    if (!this.connection.ready) return
    this.onError(new Error('the broker has stopped answering: another one is asked'), 'message broker')
    const { _socket: socket } = this.connection as unknown as { _socket: Socket } // it has no way to say so
    socket.destroy()
  }

  /**
   * A broker that dies while it makes a quorum queue may leave one whose members each wait for another to lead them, for ever: nobody is served, and nothing is in it. Its receivers make it again when
   * they hear that it is gone.
   */
  private async removeQueue(topic: string): Promise<void> {
    this.onError(new Error(`queue ${queueOf(topic)} takes no receiver: it is made anew`), topic)
    const channel = await this.connection.acquire() // of its own: what is asked on it waits for the removal
    try {
      await within(REMOVAL_MS, channel.queueDelete({ queue: queueOf(topic) }))
    } finally {
      this.flowOf(topic).inVain = 0
      void channel.close().catch(() => {}) // its broker has died as well
    }
  }

  private flowOf(topic: string) {
    const flow = this.flow.get(topic) ?? { received: 0, underWay: 0, before: 0, silent: 0, inVain: 0 }
    this.flow.set(topic, flow)
    return flow
  }

  private watch(consumer: Consumer, where: string): Consumer {
    return consumer.on('error', (error) => this.onError(error, where))
  }

  private async receive(topic: string, message: AsyncMessage): Promise<void> {
    const id = message.correlationId === undefined ? undefined : String(message.correlationId)
    const flow = this.flowOf(topic)
    flow.received++
    if (Date.now() > (message.body as Sent).until || (id && this.underWay.has(id))) return
    if (id) this.underWay.add(id)
    flow.underWay++
    const answer = await this.answer(topic, message.body as Sent)
    flow.underWay--
    // from here on a repeat is answered again: this answer may go to a queue that died with its broker
    if (id) this.underWay.delete(id)
    const envelope = { routingKey: message.replyTo, correlationId: message.correlationId }
    if (message.replyTo) await this.sender.send(envelope, answer, () => Date.now() < (message.body as Sent).until)
    else if (answer.error) this.onError(answer.error, `${topic} ${(message.body as Sent).name}`)
  }

  private answer(topic: string, { name, payload, key, requestId }: Sent): Promise<Answer> {
    return answerOf(() => {
      const handler = this.receivers.get(topic)?.get(name)
      if (!handler) throw noReceiver(topic, name)
      return this.once.run(`${topic} ${name}`, key, async () => await handler(payload, { topic, key, requestId }))
    })
  }

  publish<In>(event: Message<In, void>, payload: In, about?: string[]): void {
    this.events.publish(event, payload, about)
  }

  subscribe<In>(event: Message<In, void>, handler: (payload: In) => void, about?: string): () => void {
    return this.events.subscribe(event, handler, about)
  }

  async stats(): Promise<BusStats> {
    const topics = [...this.receivers.keys()]
    const [nodes, queues] = await Promise.all([
      Promise.all(this.urls.map(async (url) => ({ name: new URL(url).host, state: await answers(url) }))),
      Promise.all(
        topics.map(async (topic) => {
          const found = await this.connection.queueDeclare({ queue: queueOf(topic), passive: true }).catch(() => null)
          return { topic, waiting: found?.messageCount ?? 0, receivers: found?.consumerCount ?? 0 }
        }),
      ),
    ])
    return { kind: 'rabbitmq', nodes, queues }
  }

  /** Waits for what is under way here, though not for ever: the broker gives to others what was not finished. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.looking)
    const inOrder = async () => {
      await Promise.all([...this.consumers.values()].map((one) => one.close()))
      await this.sender.close()
      await this.connection.close()
    }
    await Promise.race([inOrder().catch(() => {}), new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())])
    this.connection.unsafeDestroy()
  }
}

function answers(url: string): Promise<'answers' | 'does not answer'> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const end = (state: 'answers' | 'does not answer') => {
      socket.destroy()
      resolve(state)
    }
    const socket = connectTcp({ host: hostname, port: Number(port || 5672), timeout: 2_000 })
    socket.once('connect', () => end('answers'))
    socket.once('error', () => end('does not answer'))
    socket.once('timeout', () => end('does not answer'))
  })
}

/**
 * `urls`: amqp://user:password@host:5672/vhost, one for each broker node; user, password and vhost of the first count for all. Returns when connected.
 * @throws Fault 503 when none answers within `patienceMs`
 */
export async function connectRabbit(urls: string[], onError: OnBusError, patienceMs = 10_000): Promise<Bus> {
  const { Connection } = await import('rabbitmq-client')
  const first = new URL(urls[0]!)
  const connection = new Connection({
    hosts: urls.map((url) => new URL(url).host),
    username: decodeURIComponent(first.username || 'guest'),
    password: decodeURIComponent(first.password || 'guest'),
    vhost: decodeURIComponent(first.pathname.slice(1)) || '/',
    tls: first.protocol === 'amqps:',
    heartbeat: 3,
    connectionTimeout: 3_000,
    retryLow: 100,
    retryHigh: 1_000,
    connectionName: `yun ${process.pid}`,
  })
  connection.on('error', (error) => onError(error, 'message broker'))
  try {
    await connection.onConnect(patienceMs)
  } catch (error) {
    connection.unsafeDestroy()
    const names = urls.map((url) => new URL(url).host).join(', ')
    throw unavailable(`no message broker answers (${names}): ${(error as Error).message}`, 'BusUnreachable', error)
  }
  const bus = new RabbitBus(connection, urls, onError, patienceMs)
  await bus.open()
  return bus
}
