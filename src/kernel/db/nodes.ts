import { setTimeout as pause } from 'node:timers/promises'
import type { MysqlPool, MysqlPoolConnection } from 'kysely'
import type { Connection, Pool, PoolConnection, PoolOptions } from 'mysql2'
import { DatabaseUnreachable, isLost, isNotReady, isRolledBack } from './failures.ts'
import { queries } from './queries.ts'

/** What `mysql://user:password@node1:3306,node2:3306/name?socketPath=…&connections=8&patience=10000` says. */
export interface MysqlAddress {
  nodes: { name: string; host: string; port: number }[]
  socketPath?: string
  user: string
  password: string
  database: string
  /** To each node. */
  connections: number
  /** ms to go on asking when no node answers: a cluster that loses a member closes its ranks first. */
  patienceMs: number
}

export function parseMysqlUrl(url: string): MysqlAddress {
  const match = /^mysql:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(url)
  if (!match) throw new TypeError('a database address looks like mysql://user:password@node1:3306,node2:3306/name')
  const [, user = '', password = '', hosts = '', database = '', query = ''] = match
  const options = new URLSearchParams(query)
  const nodes = (hosts || 'localhost').split(',').map((text) => {
    const { hostname, port } = new URL(`mysql://${text.trim() || 'localhost'}`)
    return { name: text.trim(), host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 3306) }
  })
  return {
    nodes,
    socketPath: options.get('socketPath') ?? undefined,
    user: decodeURIComponent(user),
    password: decodeURIComponent(password),
    database: decodeURIComponent(database),
    connections: Number(options.get('connections') ?? 8),
    patienceMs: Number(options.get('patience') ?? (nodes.length > 1 ? 10_000 : 0)),
  }
}

/** The address with another database's name in it; null: none, the server itself. */
export function withDatabase(url: string, name: string | null): string {
  const match = /^(mysql:\/\/[^/?]*)(?:\/[^?]*)?(\?.*)?$/.exec(url)
  if (!match) throw new TypeError(`${url.split(':')[0]}: is no address of a MariaDB server`)
  return `${match[1]}${name === null ? '' : `/${name}`}${match[2] ?? ''}`
}

export function connectionOptions(address: MysqlAddress, index: number): PoolOptions {
  const { host, port } = address.nodes[index]!
  const { socketPath, user, password, database } = address
  return {
    host,
    port,
    socketPath,
    user,
    password,
    database: database || undefined,
    supportBigNumbers: true,
    charset: 'utf8mb4_bin',
    connectTimeout: address.nodes.length > 1 ? 3000 : 10_000,
  }
}

interface Node {
  index: number
  name: string
  pool: Pool
}

/** ms after which a statement's node is asked whether it still lives: a machine without power closes no connection. */
const SUSPECT_MS = 5000
/** Reads wait for what other nodes committed before; so do writes, whose conditions read as well. */
const SYNC_WAIT = 7
/** Seconds that a server waits for a transaction's next statement: a machine that is cut off ends none, and others wait for its locks. Who was only slow runs the whole of it again. */
const SILENT = 'session idle_transaction_timeout = 3'
/** ms between rounds of all nodes. */
const ROUND_MS = 100
const SYNCED = 4
const DONOR = 2

/**
 * A pool over the nodes of a Galera cluster, or over one server. All work goes to one node, so that writers meet there and not at certification, until it fails; then
 * to the next. Outside a transaction a statement that certainly did nothing, or that only reads, runs again elsewhere, unseen by who asked; while all refuse, because the cluster closes its ranks, for as long as its
 * address has patience.
 */
export class NodePool implements MysqlPool {
  readonly address: MysqlAddress
  private readonly nodes: Node[]
  private readonly prepared = new WeakSet<object>()
  private current = 0
  private ended = false

  constructor(address: MysqlAddress, createPool: (options: PoolOptions) => Pool) {
    this.address = address
    this.nodes = address.nodes.map(({ name }, index) => ({
      index,
      name,
      pool: createPool({ ...connectionOptions(address, index), connectionLimit: address.connections }),
    }))
  }

  getConnection(callback: (error: unknown, connection: MysqlPoolConnection) => void): void {
    this.acquire().then(
      ({ node, raw }) => callback(undefined, new NodeConnection(this, node, raw)),
      (error) => callback(error, undefined as never),
    )
  }

  end(callback: (error: unknown) => void): void {
    this.ended = true
    const ends = this.nodes.map(({ pool }) => new Promise<void>((resolve) => pool.end(() => resolve())))
    Promise.all(ends).then(() => callback(undefined), callback)
  }

  /** @throws Fault 503 DatabaseUnreachable when no node answers in time */
  async acquire(): Promise<{ node: Node; raw: PoolConnection }> {
    const until = performance.now() + this.address.patienceMs
    for (let failures = 0; ; ) {
      const node = this.nodes[this.current]!
      try {
        return { node, raw: await this.take(node, failures >= this.nodes.length) }
      } catch (error) {
        if (!isLost(error) && !isNotReady(error)) throw error
        this.leave(node)
        failures++
        if (failures % this.nodes.length !== 0) continue
        if (this.ended || performance.now() >= until) throw unreachable(error)
        await pause(ROUND_MS)
      }
    }
  }

  /** The next one's turn, unless somebody went on already. */
  leave(node: Node): void {
    if (this.current === node.index) this.current = (node.index + 1) % this.nodes.length
  }

  private async take(node: Node, donorsToo: boolean): Promise<PoolConnection> {
    const raw = await new Promise<PoolConnection>((resolve, reject) =>
      node.pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))),
    )
    if (this.prepared.has(raw)) return raw
    try {
      await prepare(raw, donorsToo)
    } catch (error) {
      raw.destroy()
      throw error
    }
    this.prepared.add(raw)
    return raw
  }

  /** Whether the node still answers; by a connection of its own. */
  async answers(node: Node): Promise<boolean> {
    const { createConnection } = await import('mysql2')
    return await new Promise((resolve) => {
      const connection = createConnection(connectionOptions(this.address, node.index))
      const say = (answer: boolean) => {
        clearTimeout(timer)
        connection.destroy()
        resolve(answer)
      }
      const timer = setTimeout(() => say(false), SUSPECT_MS)
      connection.on('error', () => say(false))
      connection.query('select 1', (error) => say(!error || !isLost(error)))
    })
  }
}

/** @throws an error of {@link isNotReady} when this node of a cluster should not be used now */
async function prepare(raw: PoolConnection, donorsToo: boolean): Promise<void> {
  const [on] = await ask(raw, "show variables like 'wsrep_on'")
  if (on?.Value !== 'ON') return void (await ask(raw, `set ${SILENT}`))
  const [state] = await ask(raw, "show status like 'wsrep_local_state'")
  const number = Number(state?.Value)
  if (number !== SYNCED && !(donorsToo && number === DONOR))
    throw Object.assign(new Error('WSREP: this node has not joined its cluster'), { code: 'ER_UNKNOWN_COM_ERROR' })
  // a statement that the server runs again by itself may have answered already what then is not so
  await ask(raw, `set ${SILENT}, session wsrep_sync_wait = ${SYNC_WAIT}, session wsrep_retry_autocommit = 0`)
}

const ask = (raw: Connection, sql: string, parameters: readonly unknown[] = []): Promise<any> =>
  new Promise((resolve, reject) => raw.query(sql, parameters as never, (error, result) => (error ? reject(error) : resolve(result))))

function unreachable(error: unknown) {
  return new DatabaseUnreachable(`the database does not answer: ${(error as Error).message}`, error)
}

const TRANSACTION = new Set(['begin', 'commit', 'rollback'])

/** What Kysely sees of a connection: while a transaction is open it is one connection, otherwise it may become another one's. */
class NodeConnection implements MysqlPoolConnection {
  private readonly pool: NodePool
  private node: Node
  private raw: PoolConnection
  private lost = false
  private inTransaction = false

  constructor(pool: NodePool, node: Node, raw: PoolConnection) {
    this.pool = pool
    this.node = node
    this.raw = raw
  }

  query(sql: string, parameters: readonly unknown[]): never
  query(sql: string, parameters: readonly unknown[], callback: (error: unknown, result: never) => void): void
  query(sql: string, parameters: readonly unknown[], callback?: (error: unknown, result: never) => void): any {
    if (queries.hasSubscribers && !TRANSACTION.has(sql)) queries.publish(sql)
    if (!callback) return this.raw.query(sql, parameters as never)
    this.run(sql, parameters).then(
      (result) => callback(undefined, result as never),
      (error) => callback(error, undefined as never),
    )
  }

  release(): void {
    if (!this.lost) this.raw.release()
  }

  private async run(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    const word = /^\s*(\w+)/.exec(sql)?.[1]?.toLowerCase() ?? ''
    // a lost connection's transaction is gone already
    if (word === 'rollback' && this.lost) return this.done()
    const { nodes, patienceMs } = this.pool.address
    const until = performance.now() + patienceMs
    let refusals = 0
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.ask(sql, parameters)
        if (word === 'begin') this.inTransaction = true
        if (word === 'commit' || word === 'rollback') this.inTransaction = false
        return result
      } catch (error) {
        if (isLost(error)) this.drop()
        else if (isNotReady(error)) this.pool.leave(this.node)
        if (word === 'rollback' && this.lost) return this.done()
        if (this.inTransaction) {
          if (word === 'commit' && isLost(error)) throw inDoubt(error)
          throw error
        }
        if (isNotReady(error)) {
          refusals++
          if (performance.now() >= until) throw unreachable(error)
          if (refusals % nodes.length === 0) await pause(ROUND_MS)
          await this.renew()
          continue
        }
        const harmless = isRolledBack(error) || (isLost(error) && (word === 'select' || word === 'begin'))
        if (!harmless || attempt - refusals >= 20) throw isLost(error) ? inDoubt(error) : error
        if (isLost(error)) await this.renew()
      }
    }
  }

  private done() {
    this.inTransaction = false
    return { affectedRows: 0, insertId: 0 }
  }

  private drop(): void {
    if (!this.lost) this.raw.destroy()
    this.lost = true
    this.pool.leave(this.node)
  }

  private async renew(): Promise<void> {
    this.release()
    this.lost = true
    ;({ node: this.node, raw: this.raw } = await this.pool.acquire())
    this.lost = false
  }

  private async ask(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined
    const frozen = new Promise<never>((_, reject) => {
      const look = () => {
        timer = setTimeout(async () => {
          if (await this.pool.answers(this.node)) look()
          else reject(Object.assign(new Error(`node ${this.node.name} does not answer`), { code: 'PROTOCOL_CONNECTION_LOST' }))
        }, SUSPECT_MS).unref()
      }
      look()
    })
    try {
      return await Promise.race([ask(this.raw, sql, parameters), frozen])
    } finally {
      clearTimeout(timer)
    }
  }
}

const inDoubt = (error: unknown) =>
  new DatabaseUnreachable(
    `the connection to the database was lost while it was writing (${(error as Error).message}): look whether it is done before you repeat it`,
    error,
  )
