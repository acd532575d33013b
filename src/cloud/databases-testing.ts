import { after, describe } from 'node:test'
import { onMariaDb } from '../kernel/db/testing.ts'
import { createDatabase, dropDatabase, type ServiceDatabase } from '../kernel/db/upgrade.ts'
import { serviceDatabases } from './databases.ts'

/** Declares the tests of a whole cloud on each kind of database: what `body` is given makes databases for all services and tells where (undefined: SQLite). */
export function onCloudDatabases(body: (database: () => Promise<string | undefined>) => void): void {
  describe('sqlite', () => body(async () => undefined))
  onMariaDb((fresh) => {
    let databases: ServiceDatabase[] = []
    body(async () => {
      const url = await fresh()
      databases = serviceDatabases({ stateDir: '', url })
      for (const one of databases) await createDatabase(one.url)
      return url
    })
    after(async () => {
      for (const one of databases) await dropDatabase(one.url)
    })
  })
}
