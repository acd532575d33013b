import { connect, type Socket } from 'node:net'
import { Fault, unavailable } from '../../kernel/errors/errors.ts'
import { JsonStream } from './json-stream.ts'

/** Values as JavaScript has them: sets are arrays (an optional value is an array of none or one), maps are Maps, references to rows are {@link Uuid}s. */
export type Value = string | number | boolean | Uuid | Value[] | Map<string, Value>
export type Row = Record<string, Value>
export interface Uuid {
  uuid: string
}

/** As RFC 7047 has them. */
export type Operation = Record<string, unknown> & { op: string }
export interface OperationResult {
  uuid?: [string, string]
  rows?: Record<string, unknown>[]
  count?: number
  error?: string
  details?: string
}
export type TableUpdates = Record<string, Record<string, { old?: Record<string, unknown>; new?: Record<string, unknown> }>>

/** A transaction that the database refused; nothing of it was done. */
export class TransactionError extends Fault {
  /** RFC 7047's word for it, such as `constraint violation`. */
  readonly reason: string
  constructor(reason: string, details: string) {
    super(503, 'TransactionRefused', `Open vSwitch's database refuses the change: ${reason}${details ? ` (${details})` : ''}`)
    this.reason = reason
  }
}

/** One connection to ovsdb-server; when it is lost, what was asked fails and `onLost` is called once. */
export class OvsdbConnection {
  private readonly socket: Socket
  private readonly path: string
  private readonly waiting = new Map<number, { resolve: (value: any) => void; reject: (error: Error) => void }>()
  private readonly stream = new JsonStream()
  private lastId = 0
  private lost = false
  onUpdate: (updates: TableUpdates) => void = () => {}
  onLost: (why: string) => void = () => {}

  private constructor(path: string, socket: Socket) {
    this.path = path
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.receive(chunk))
    socket.on('error', (error) => this.fail(error.message))
    socket.on('close', () => this.fail('closed'))
  }

  /** @throws Fault 503 that says what to check */
  static open(path: string): Promise<OvsdbConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      socket.once('connect', () => {
        socket.removeAllListeners('error')
        resolve(new OvsdbConnection(path, socket))
      })
      socket.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          unavailable(`Open vSwitch's database does not answer on ${path} (${error.code}); ${advice(error.code)}`, 'OvsUnavailable', error),
        ),
      )
    })
  }

  call(method: string, params: unknown[]): Promise<any> {
    if (this.lost) return Promise.reject(this.gone('closed'))
    const id = ++this.lastId
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.socket.write(JSON.stringify({ method, params, id }))
    })
  }

  /** All of the operations or none. @throws TransactionError */
  async transact(operations: Operation[]): Promise<OperationResult[]> {
    const results: (OperationResult | null)[] = await this.call('transact', ['Open_vSwitch', ...operations])
    const refused = results.find((result) => result?.error)
    if (refused) throw new TransactionError(refused.error!, refused.details ?? '')
    return results.map((result) => result ?? {})
  }

  close(): void {
    this.onLost = () => {}
    this.fail('closed by us')
  }

  private receive(chunk: Buffer): void {
    try {
      for (const message of this.stream.push(chunk)) this.handle(message as any)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      this.fail(`it does not speak OVSDB: ${error.message}`)
    }
  }

  private handle(message: { id: any; method?: string; params: any[]; result: unknown; error: any }): void {
    if (message.method === 'echo') this.socket.write(JSON.stringify({ id: message.id, result: message.params, error: null }))
    else if (message.method === 'update') this.onUpdate(message.params[1])
    else if (message.method === undefined) {
      const waiter = this.waiting.get(message.id)
      this.waiting.delete(message.id)
      if (message.error) waiter?.reject(new TransactionError(message.error.error ?? String(message.error), message.error.details ?? ''))
      else waiter?.resolve(message.result)
    }
  }

  private fail(why: string): void {
    if (this.lost) return
    this.lost = true
    this.socket.destroy()
    for (const { reject } of this.waiting.values()) reject(this.gone(why))
    this.waiting.clear()
    this.onLost(why)
  }

  private gone(why: string): Fault {
    return unavailable(
      `the connection to Open vSwitch's database at ${this.path} was lost (${why}); it is not known whether the change was made: try again`,
      'OvsUnavailable',
    )
  }
}

function advice(code: string | undefined): string {
  if (code === 'EACCES') return 'only root may use it: run as root'
  return 'check that ovsdb-server and ovs-vswitchd run (`systemctl status openvswitch-switch`, or `ovs-vsctl show`) and that the package openvswitch-switch is installed'
}

/** A value from the wire. */
export function decode(value: unknown): Value {
  if (!Array.isArray(value)) return value as Value
  const [kind, content] = value as [string, any]
  if (kind === 'set') return content.map(decode)
  if (kind === 'map') return new Map(content.map(([key, each]: [string, unknown]) => [key, decode(each)]))
  return { uuid: content }
}

export const mapOf = (record: Record<string, string>): unknown => ['map', Object.entries(record)]
export const setOf = (values: unknown[]): unknown => ['set', values]
export const reference = (uuid: string): unknown => ['uuid', uuid]
export const named = (name: string): unknown => ['named-uuid', name]
/** For columns that hold one value or none. */
export const optional = (value: unknown): unknown => (value === undefined ? setOf([]) : value)
