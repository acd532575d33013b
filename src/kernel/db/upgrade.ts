import { existsSync, mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { sql } from 'kysely'
import { conflict, Fault, unavailable } from '../errors/errors.ts'
import { timestamp } from './columns.ts'
import { type Database, type Migrations, openDatabase } from './database.ts'
import { isLost } from './failures.ts'
import { appliedMigrations } from './migrate.ts'
import type { NodeState } from './node-states.ts'
import { connectionOptions, parseMysqlUrl, withDatabase } from './nodes.ts'

/** One service's database, as `yun db` handles it. */
export interface ServiceDatabase {
  service: string
  /** As {@link openDatabase} takes it. */
  url: string
  migrations: Migrations
}

export interface Upgraded {
  service: string
  /** The database did not exist before. */
  created: boolean
  /** The copy that was made before anything was changed; null: nothing to change, nothing to lose, or MariaDB, whose backups are its operator's. */
  backup: string | null
  applied: string[]
}

export interface DatabaseStatus {
  service: string
  /** The file, or `name on host:port,host:port`; never a password. */
  place: string
  exists: boolean
  pending: string[]
  /** Migrations that the database has and this program does not know: it belongs to a newer one. */
  unknown: string[]
  nodes: NodeState[]
}

const fileOf = (url: string): string | null => (url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : null)

export function placeOf(url: string): string {
  const file = fileOf(url)
  if (file) return file
  const { database, nodes, socketPath } = parseMysqlUrl(url)
  return `${database} on ${socketPath ?? nodes.map(({ host, port }) => `${host}:${port}`).join(',')}`
}

/**
 * Brings each database to this program's version; missing ones are made, files are copied first. May be repeated.
 * @throws Fault 409 for a database of a newer program, 500 naming the migration that failed, 503 when a server does not answer
 */
export async function upgradeDatabases(list: ServiceDatabase[], report: (one: Upgraded) => void = () => {}): Promise<Upgraded[]> {
  const states = await Promise.all(list.map(statusOf))
  const newer = states.find((one) => one.unknown.length > 0)
  if (newer)
    throw conflict(
      `the ${newer.service} database (${newer.place}) has migrations that this program does not know (${newer.unknown.join(', ')}): it belongs to a newer Yun. Nothing was changed.`,
      'NewerDatabase',
    )
  const done: Upgraded[] = []
  for (const [i, one] of list.entries()) {
    const { exists, pending } = states[i]!
    if (!exists) await createDatabase(one.url)
    const backup = exists && pending.length > 0 ? await backUp(one.url) : null
    const upgraded = { service: one.service, created: !exists, backup, applied: await using(one, (database) => database.migrate()) }
    report(upgraded)
    done.push(upgraded)
  }
  return done
}

/** Changes nothing. @throws Fault 503 when a server does not answer */
export const databaseStatus = (list: ServiceDatabase[]): Promise<DatabaseStatus[]> => Promise.all(list.map(statusOf))

async function statusOf(one: ServiceDatabase): Promise<DatabaseStatus> {
  const base = { service: one.service, place: placeOf(one.url) }
  const all = Object.keys(one.migrations).sort()
  if (!(await databaseExists(one.url))) return { ...base, exists: false, pending: all, unknown: [], nodes: [] }
  return await using(one, async (database) => {
    const applied = await appliedMigrations(database.db)
    return {
      ...base,
      exists: true,
      pending: all.filter((name) => !applied.includes(name)),
      unknown: applied.filter((name) => !all.includes(name)),
      nodes: await database.nodes(),
    }
  })
}

export async function using<R>(one: ServiceDatabase, work: (database: Database<any>) => Promise<R>): Promise<R> {
  const database = await openDatabase<any>(one.url, one.migrations)
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}

export async function databaseExists(url: string): Promise<boolean> {
  const file = fileOf(url)
  if (file) return existsSync(file)
  const name = parseMysqlUrl(url).database
  const rows = await onServer(url, 'select schema_name from information_schema.schemata where schema_name = ?', [name])
  return rows.length > 0
}

/** Letters, digits and _ only: the name is written into a statement. */
const nameOf = (url: string): string => {
  const { database } = parseMysqlUrl(url)
  if (!/^\w{1,64}$/.test(database)) throw new Fault(400, 'Usage', `"${database}" is no name for a database: letters, digits and _ are`)
  return database
}

export async function createDatabase(url: string): Promise<void> {
  const file = fileOf(url)
  if (file) return void mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  await onServer(url, `create database if not exists ${nameOf(url)} character set utf8mb4 collate utf8mb4_bin`)
}

export async function dropDatabase(url: string): Promise<void> {
  await onServer(url, `drop database if exists ${nameOf(url)}`)
}

/** Asks the first node that answers, without a database. */
async function onServer(url: string, statement: string, parameters: unknown[] = []): Promise<any[]> {
  const { createConnection } = await import('mysql2/promise')
  const address = parseMysqlUrl(withDatabase(url, null))
  for (let index = 0; ; index++) {
    try {
      const connection = await createConnection(connectionOptions(address, index))
      try {
        const [rows] = await connection.query(statement, parameters)
        return rows as any[]
      } finally {
        await connection.end()
      }
    } catch (error) {
      if (isLost(error) && index + 1 < address.nodes.length) continue
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ER_DBACCESS_DENIED_ERROR')
        throw new Fault(
          403,
          'DatabaseDenied',
          `${message}: let the user make it (grant all on \`prefix\\_%\`.* to ...), or make it yourself`,
        )
      throw unavailable(`the database server does not answer: ${message || code}`, 'DatabaseUnreachable', error)
    }
  }
}

/** A copy of a SQLite file as it is now, beside it in backups/, named by the moment. Null: there is no file to copy. */
async function backUp(url: string): Promise<string | null> {
  const file = fileOf(url)
  if (!file) return null
  const directory = join(dirname(file), 'backups')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const copy = join(directory, `${basename(file, '.sqlite')}.${timestamp().replace(/[:.]/g, '-')}.sqlite`)
  const database = await openDatabase<any>(url, {})
  try {
    await sql`vacuum into ${copy}`.execute(database.db)
  } finally {
    await database.close()
  }
  return copy
}
