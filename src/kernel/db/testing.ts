import { randomUUID } from 'node:crypto'
import { after, describe } from 'node:test'
import { createPool } from 'mysql2/promise'
import { type Database, type Migrations, openDatabase } from './database.ts'

/**
 * Runs `body` once for SQLite and, where YUN_TEST_MYSQL holds a MariaDB address without a database name, once more for MariaDB. `open` makes a fresh, migrated
 * database; all are removed at the end.
 */
export function eachDatabase<T>(migrations: Migrations, body: (open: () => Promise<Database<T>>) => void): void {
  describe('sqlite', () => {
    const opened: Database<T>[] = []
    after(async () => void (await Promise.all(opened.map((one) => one.close()))))
    body(async () => {
      const database = await openDatabase<T>('sqlite::memory:', migrations)
      opened.push(database)
      await database.migrate()
      return database
    })
  })
  const server = process.env.YUN_TEST_MYSQL
  if (!server) return
  describe('mariadb', () => {
    const opened: { database: Database<T>; name: string }[] = []
    after(async () => {
      const admin = createPool(poolOptions(server))
      for (const { database, name } of opened) {
        await database.close()
        await admin.query(`drop database if exists ${name}`)
      }
      await admin.end()
    })
    body(async () => {
      const name = `yun_test_${randomUUID().replaceAll('-', '')}`
      const admin = createPool(poolOptions(server))
      await admin.query(`create database ${name} character set utf8mb4 collate utf8mb4_bin`)
      await admin.end()
      const at = new URL(server)
      at.pathname = `/${name}`
      const database = await openDatabase<T>(String(at), migrations)
      opened.push({ database, name })
      await database.migrate()
      return database
    })
  })
}

function poolOptions(url: string) {
  const at = new URL(url)
  return {
    host: at.hostname || 'localhost',
    socketPath: at.searchParams.get('socketPath') ?? undefined,
    user: decodeURIComponent(at.username),
    password: decodeURIComponent(at.password),
  }
}
