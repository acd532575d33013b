import { randomUUID } from 'node:crypto'
import { after, describe } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { type Database, type Migrations, openDatabase } from './database.ts'
import { connectionOptions, parseMysqlUrl, withDatabase } from './nodes.ts'

/**
 * Runs `body` once for SQLite and, where YUN_TEST_MYSQL holds a MariaDB address without a database name, once more for MariaDB. `open` makes a fresh, migrated
 * database; all are removed at the end.
 */
export function eachDatabase<T>(migrations: Migrations, body: (open: () => Promise<Database<T>>) => void): void {
  eachDatabaseUrl((fresh) => {
    const opened: Database<T>[] = []
    after(async () => void (await Promise.all(opened.map((one) => one.close()))))
    body(async () => {
      const database = await openDatabase<T>(await fresh(), migrations)
      opened.push(database)
      await database.migrate()
      return database
    })
  })
}

/** Like {@link eachDatabase}, for those who open it themselves: the address of a fresh, empty database each time. */
export function eachDatabaseUrl(body: (fresh: () => Promise<string>) => void): void {
  describe('sqlite', () => body(async () => 'sqlite::memory:'))
  onMariaDb(body)
}

/** Only where YUN_TEST_MYSQL says where one is. */
export function onMariaDb(body: (fresh: () => Promise<string>) => void): void {
  const server = process.env.YUN_TEST_MYSQL
  if (!server) return
  describe('mariadb', () => {
    const names: string[] = []
    body(async () => {
      const name = `yun_test_${randomUUID().replaceAll('-', '')}`
      names.push(name)
      await ask(server, [`create database ${name} character set utf8mb4 collate utf8mb4_bin`])
      return withDatabase(server, name)
    })
    after(() =>
      ask(
        server,
        names.map((name) => `drop database if exists ${name}`),
      ),
    )
  })
}

async function ask(server: string, statements: string[]): Promise<void> {
  const connection = await createConnection(connectionOptions(parseMysqlUrl(server), 0))
  for (const statement of statements) await connection.query(statement)
  await connection.end()
}

/** The same database as another control process reaches it: of a cluster through another node. */
export function throughAnotherNode(url: string): string {
  return url.replace(/^(mysql:\/\/(?:[^@/]*@)?)([^/?]*)/, (_, before: string, hosts: string) => {
    const [first, ...others] = hosts.split(',')
    return `${before}${[...others, first].join(',')}`
  })
}
