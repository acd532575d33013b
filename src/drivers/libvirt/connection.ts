import { connect, type Socket } from 'node:net'
import { libvirtFault, libvirtUnavailable } from './errors.ts'
import { AUTH_NONE, AUTH_POLKIT, PROGRAM, type Procedure, procedures } from './procedures.ts'
import { XdrReader, XdrWriter } from './xdr.ts'

const HEADER_BYTES = 28
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024
const TYPE = { call: 0, reply: 1, event: 2, stream: 3 } as const
const STATUS = { ok: 0, error: 1, continue: 2 } as const
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 5_000

export interface ConnectionOptions {
  socketPath: string
  uri: string
  /** ms to wait for an answer unless a call says otherwise. */
  timeoutMs: number
  onEvent(procedure: number, message: XdrReader): void
  /** Connected, now or again; what it asks is asked before any other call. */
  onUp(): Promise<void>
  onDown(): void
}

interface Waiting {
  what: string
  timer: NodeJS.Timeout
  /** Set for calls that are answered by a reply and a stream, which race: the bytes so far. */
  stream?: { pieces: Buffer[]; ended: boolean }
  reply?: XdrReader
  resolve(answer: { reply: XdrReader; stream: Buffer }): void
  reject(error: Error): void
}

/**
 * One connection to libvirtd: calls in flight by serial number, events as they come. It is made at the first call; when it is lost, the calls in flight fail with a
 * Fault 503 and it is made again, with pauses of 50 ms doubled up to 5 s, or at once by the next call.
 */
export class Connection {
  private readonly options: ConnectionOptions
  private readonly waiting = new Map<number, Waiting>()
  private socket: Socket | undefined
  private ready: Promise<void> | undefined
  private received: Buffer = Buffer.alloc(0)
  private serial = 0
  private pauseMs = FIRST_PAUSE_MS
  private retry: NodeJS.Timeout | undefined
  private closed = false
  private kept = false
  private up = false

  get isUp(): boolean {
    return this.up
  }

  constructor(options: ConnectionOptions) {
    this.options = options
  }

  /** Connects now and stays connected: without it the connection is made at the first call and not made again until the next. */
  keep(): void {
    this.kept = true
    this.connected().catch(() => {}) // the retry goes on; a call hears why
  }

  async call(
    procedure: Procedure,
    args: Buffer,
    options: { what: string; timeoutMs?: number; stream?: boolean },
  ): Promise<{ reply: XdrReader; stream: Buffer }> {
    await this.connected()
    return await this.send(procedure, args, options)
  }

  close(): void {
    this.closed = true
    clearTimeout(this.retry)
    this.socket?.destroy()
    this.fail('the connection was closed')
  }

  private connected(): Promise<void> {
    if (this.closed) return Promise.reject(libvirtUnavailable(this.options.socketPath, 'the connection was closed'))
    clearTimeout(this.retry)
    this.ready ??= this.open().catch((error) => {
      this.ready = undefined
      this.socket?.destroy()
      this.tryAgain()
      throw error
    })
    return this.ready
  }

  private async open(): Promise<void> {
    const { socketPath, uri } = this.options
    const socket = connect(socketPath)
    this.socket = socket
    this.received = Buffer.alloc(0)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', (error: NodeJS.ErrnoException) => reject(libvirtUnavailable(socketPath, reason(error), error)))
    })
    socket.on('error', () => {}) // close follows
    socket.on('data', (chunk: Buffer) => this.receive(socket, chunk))
    socket.on('close', () => this.lost(socket))
    const { reply } = await this.send(procedures.authList, Buffer.alloc(0), { what: 'auth-list' })
    const ways = reply.list(() => reply.int())
    if (!ways.includes(AUTH_NONE)) {
      if (!ways.includes(AUTH_POLKIT)) throw libvirtUnavailable(socketPath, 'it asks for a password (SASL); set auth_unix_rw = "none"')
      await this.send(procedures.authPolkit, Buffer.alloc(0), { what: 'auth-polkit' })
    }
    await this.send(procedures.connectOpen, new XdrWriter().optionalString(uri).int(0).done(), { what: `connect-open ${uri}` })
    await this.options.onUp()
    this.pauseMs = FIRST_PAUSE_MS
    this.up = true
  }

  /** For what onUp asks, when `call` would wait for itself. */
  send(
    procedure: Procedure,
    args: Buffer,
    { what, timeoutMs = this.options.timeoutMs, stream = false }: { what: string; timeoutMs?: number; stream?: boolean },
  ): Promise<{ reply: XdrReader; stream: Buffer }> {
    const serial = ++this.serial
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(serial)
        reject(libvirtUnavailable(this.options.socketPath, `no answer to ${what} within ${timeoutMs} ms`))
      }, timeoutMs)
      this.waiting.set(serial, { what, timer, resolve, reject, ...(stream && { stream: { pieces: [], ended: false } }) })
      this.write(procedure.program, procedure.number, TYPE.call, serial, args)
    })
  }

  private write(program: number, procedure: number, type: number, serial: number, body: Buffer): void {
    const header = new XdrWriter()
      .int(HEADER_BYTES + body.length)
      .int(program)
      .int(1)
      .int(procedure)
      .int(type)
      .int(serial)
      .int(STATUS.ok)
      .done()
    this.socket!.write(Buffer.concat([header, body]))
  }

  private receive(socket: Socket, chunk: Buffer): void {
    this.received = this.received.length ? Buffer.concat([this.received, chunk]) : chunk
    while (this.received.length >= 4) {
      const length = this.received.readUInt32BE(0)
      if (length < HEADER_BYTES || length > MAX_MESSAGE_BYTES) {
        socket.destroy(new Error(`a message of ${length} bytes`))
        return
      }
      if (this.received.length < length) return
      const message = new XdrReader(this.received.subarray(4, length))
      this.received = this.received.subarray(length)
      try {
        this.dispatch(message)
      } catch (error) {
        socket.destroy(error as Error) // a message that is none of libvirt's: nothing after it can be trusted
        return
      }
    }
  }

  private dispatch(message: XdrReader): void {
    const [program, , procedure, type, serial, status] = Array.from({ length: 6 }, () => message.int()) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    if (type === TYPE.event) {
      if (program === PROGRAM.remote) this.options.onEvent(procedure, message)
      return
    }
    const waiting = this.waiting.get(serial)
    if (!waiting) return
    if (status === STATUS.error) {
      this.settle(serial, waiting, remoteError(message, waiting.what))
      return
    }
    if (type === TYPE.stream && waiting.stream && status === STATUS.continue) {
      // An empty piece is the end; libvirtd keeps the stream until we say that we have seen it.
      if (message.remaining) waiting.stream.pieces.push(Buffer.from(message.rest()))
      else this.write(program, procedure, TYPE.stream, serial, Buffer.alloc(0))
      return
    }
    if (type === TYPE.stream && waiting.stream) waiting.stream.ended = true
    else waiting.reply = message
    if (waiting.reply && (waiting.stream?.ended ?? true)) this.settle(serial, waiting, waiting.reply)
  }

  private settle(serial: number, waiting: Waiting, outcome: XdrReader | Error): void {
    this.waiting.delete(serial)
    clearTimeout(waiting.timer)
    if (outcome instanceof Error) waiting.reject(outcome)
    else waiting.resolve({ reply: outcome, stream: Buffer.concat(waiting.stream?.pieces ?? []) })
  }

  private lost(socket: Socket): void {
    if (this.socket !== socket) return
    this.fail('it ended the connection')
    if (!this.up) return
    this.up = false
    this.ready = undefined
    this.options.onDown()
    this.tryAgain()
  }

  private fail(why: string): void {
    for (const [serial, waiting] of [...this.waiting])
      this.settle(serial, waiting, libvirtUnavailable(this.options.socketPath, `${why} while ${waiting.what} was under way`))
  }

  private tryAgain(): void {
    if (this.closed || !this.kept) return
    clearTimeout(this.retry)
    this.retry = setTimeout(() => this.connected().catch(() => {}), this.pauseMs).unref()
    this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS)
  }
}

function remoteError(message: XdrReader, what: string): Error {
  const code = message.int()
  message.int() // the part of libvirt that failed
  return libvirtFault(code, message.optionalString() ?? 'unknown error', what)
}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such socket'
  if (error.code === 'ECONNREFUSED') return 'nobody listens there'
  if (error.code === 'EACCES') return 'this user may not open it (root or the group libvirt may)'
  return error.message
}
