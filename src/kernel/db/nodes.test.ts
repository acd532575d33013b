import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MysqlPoolConnection } from 'kysely'
import type { Pool } from 'mysql2'
import { NodePool, parseMysqlUrl } from './nodes.ts'

/** Three nodes that take connections, of which one after the other refuses statements as long as `refusals` last. */
function cluster(refusals: number, options = '') {
  const asked: string[] = []
  const createPool = ({ host }: { host?: string }) => {
    const query = (sql: string, _parameters: unknown, callback: (error: unknown, rows?: unknown) => void) => {
      if (sql.includes('wsrep_on')) return callback(null, [{ Value: 'ON' }])
      if (sql.includes('wsrep_local_state')) return callback(null, [{ Value: '4' }])
      if (sql.startsWith('set ')) return callback(null, [])
      asked.push(host!)
      if (refusals-- <= 0) return callback(null, [{ one: 1 }])
      callback(
        Object.assign(new Error('WSREP has not yet prepared node for application use'), { errno: 1047, code: 'ER_UNKNOWN_COM_ERROR' }),
      )
    }
    const connection = { query, release() {}, destroy() {} }
    return {
      getConnection: (callback: (error: null, made: object) => void) => callback(null, connection),
      end: (done: () => void) => done(),
    }
  }
  const pool = new NodePool(parseMysqlUrl(`mysql://u:p@a,b,c/x${options}`), createPool as unknown as () => Pool)
  const ask = async (sql: string) => {
    const connection = await new Promise<MysqlPoolConnection>((resolve, reject) =>
      pool.getConnection((error, made) => (error ? reject(error) : resolve(made))),
    )
    return await new Promise((resolve, reject) =>
      connection.query(sql, [], (error: unknown, rows: unknown) => (error ? reject(error) : resolve(rows))),
    )
  }
  return { asked, ask }
}

test('while all nodes refuse, a statement goes round and waits until one takes it', async () => {
  const { asked, ask } = cluster(22)
  assert.deepEqual(await ask('insert into t values (1)'), [{ one: 1 }]) // a node that refuses has written nothing
  assert.equal(asked.length, 23)
  assert.deepEqual(asked.slice(0, 4), ['a', 'b', 'c', 'a'])
})

test('when none takes it in time, the database does not answer', async () => {
  await assert.rejects(cluster(Number.POSITIVE_INFINITY, '?patience=150').ask('select 1'), { status: 503, code: 'DatabaseUnreachable' })
})
