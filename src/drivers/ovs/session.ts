import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { unavailable } from '../../kernel/errors/errors.ts'
import type { InterfaceEvent, Port } from './driver.ts'
import { type Operation, type OperationResult, OvsdbConnection } from './ovsdb.ts'
import { MONITORED, Replica } from './replica.ts'

/** How long the switch gets to take a change up. */
const SETTLE_MS = 10_000
const FIRST_RETRY_MS = 20
const LAST_RETRY_MS = 1_000
const WATCH_RETRY_MS = 50

/**
 * The connection to the database with a replica of what it holds. It opens when it is first needed and, while somebody listens or waits, again after every loss.
 * A second connection, to ovs-vswitchd's control socket, says nothing and only shows when that daemon goes away: its flows go with it, and nothing in the database tells.
 */
export class Session {
  readonly replica = new Replica()
  private readonly rundir: string
  private opening: Promise<OvsdbConnection> | undefined
  private connected = false
  private retry: NodeJS.Timeout | undefined
  private watched: Socket | undefined
  private seen = new Map<string, Port>()
  private readonly listeners = new Set<(event: InterfaceEvent) => void>()
  private readonly waiters = new Set<() => void>()
  private closed = false

  constructor(rundir: string) {
    this.rundir = rundir
  }

  /** The replica as it is now, with everything that was committed before this call, by whomever. */
  async current(): Promise<Replica> {
    // The database sends what a monitor has to say before it answers the next transaction.
    await this.transact([{ op: 'select', table: 'Open_vSwitch', where: [], columns: ['next_cfg'] }])
    return this.replica
  }

  async transact(operations: Operation[]): Promise<OperationResult[]> {
    return (await this.open()).transact(operations)
  }

  /** Carries the operations out and returns when the switch has taken them up. */
  async commit(operations: Operation[]): Promise<void> {
    const results = await this.transact([
      ...operations,
      { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['next_cfg', '+=', 1]] },
      { op: 'select', table: 'Open_vSwitch', where: [], columns: ['next_cfg'] },
    ])
    const target = results.at(-1)!.rows![0]!.next_cfg as number
    const taken = await this.until(() => this.replica.root.currentConfig >= target, SETTLE_MS)
    if (!taken)
      throw unavailable(
        `ovs-vswitchd has not taken the change up after ${SETTLE_MS / 1000} s; check that it runs (\`ovs-appctl version\`) and what its log says`,
        'OvsUnavailable',
      )
  }

  /** Looks after every change of the replica. @returns whether it came true in time */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (outcome: boolean) => {
        clearTimeout(timer)
        this.waiters.delete(look)
        resolve(outcome)
      }
      const look = () => (this.closed || condition()) && end(!this.closed)
      const timer = setTimeout(() => end(condition()), timeoutMs)
      this.waiters.add(look)
    })
  }

  listen(listener: (event: InterfaceEvent) => void): () => void {
    this.listeners.add(listener)
    if (this.connected) queueMicrotask(() => this.listeners.has(listener) && listener({ kind: 'resync', why: 'listening begins' }))
    else this.reopen(0)
    this.watch(false)
    return () => {
      this.listeners.delete(listener)
      if (this.listeners.size === 0) this.unwatch()
    }
  }

  close(): void {
    this.closed = true
    this.listeners.clear()
    this.unwatch()
    clearTimeout(this.retry)
    this.opening?.then((connection) => connection.close()).catch(() => {})
    this.opening = undefined
    for (const look of this.waiters) look()
  }

  private open(): Promise<OvsdbConnection> {
    if (this.closed) return Promise.reject(unavailable('the Open vSwitch driver was closed', 'OvsUnavailable'))
    this.opening ??= this.connect().catch((error) => {
      this.opening = undefined
      throw error
    })
    return this.opening
  }

  private async connect(): Promise<OvsdbConnection> {
    const connection = await OvsdbConnection.open(join(this.rundir, 'db.sock'))
    connection.onLost = () => {
      this.opening = undefined
      this.connected = false
      this.reopen(FIRST_RETRY_MS)
    }
    const early: Parameters<Replica['apply']>[0][] = []
    connection.onUpdate = (updates) => early.push(updates)
    this.replica.load(await connection.call('monitor', ['Open_vSwitch', 'yun', MONITORED]))
    for (const updates of early) this.replica.apply(updates)
    this.seen = this.view()
    connection.onUpdate = (updates) => {
      this.replica.apply(updates)
      this.tellChanges()
    }
    this.connected = true
    this.tell({ kind: 'resync', why: 'connected to the database' })
    for (const look of this.waiters) look()
    return connection
  }

  private reopen(delayMs: number): void {
    if (this.retry) return
    this.retry = setTimeout(() => {
      this.retry = undefined
      if (this.closed || this.connected || this.listeners.size + this.waiters.size === 0) return
      this.open().catch(() => this.reopen(Math.min(Math.max(delayMs * 2, FIRST_RETRY_MS), LAST_RETRY_MS)))
    }, delayMs).unref()
  }

  private view(): Map<string, Port> {
    return new Map([...this.replica.ports()].filter(([name, { bridge }]) => name !== bridge.name).map(([name, { seen }]) => [name, seen]))
  }

  private tellChanges(): void {
    const before = this.seen
    this.seen = this.view()
    for (const [name, port] of before) if (!this.seen.has(name)) this.tell({ kind: 'removed', port })
    for (const [name, port] of this.seen) {
      const known = before.get(name)
      if (!known) this.tell({ kind: 'added', port })
      else if (JSON.stringify(known) !== JSON.stringify(port)) this.tell({ kind: 'changed', port })
    }
    for (const look of this.waiters) look()
  }

  private tell(event: InterfaceEvent): void {
    for (const listener of this.listeners) listener(event)
  }

  private watch(again: boolean): void {
    if (this.watched || this.closed || this.listeners.size === 0) return
    const socket = connect(this.controlSocket())
    this.watched = socket
    socket.unref()
    socket.on('connect', () => {
      if (again) void this.afterRestart()
    })
    socket.on('error', () => {}) // 'close' follows
    socket.on('close', () => {
      if (this.watched !== socket) return
      this.watched = undefined
      setTimeout(() => this.watch(true), WATCH_RETRY_MS).unref()
    })
  }

  private unwatch(): void {
    const socket = this.watched
    this.watched = undefined
    socket?.destroy()
  }

  /** The switch answers on its control socket before it has its bridges again: a change that it has taken up tells that it has. */
  private async afterRestart(): Promise<void> {
    try {
      await this.commit([])
      this.tell({ kind: 'resync', why: 'ovs-vswitchd was started again' })
    } catch {
      // Gone again, or the database with it: each brings its own resync.
    }
  }

  private controlSocket(): string {
    try {
      const pid = readFileSync(join(this.rundir, 'ovs-vswitchd.pid'), 'utf8').trim()
      return join(this.rundir, `ovs-vswitchd.${pid}.ctl`)
    } catch {
      return join(this.rundir, 'ovs-vswitchd.ctl')
    }
  }
}
