import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { serviceDatabases } from '../cloud/databases.ts'
import { onMariaDb } from '../kernel/db/testing.ts'
import { createDatabase, databaseExists, dropDatabase, using } from '../kernel/db/upgrade.ts'

const main = join(import.meta.dirname, 'main.ts')
const stateDir = mkdtempSync(join(tmpdir(), 'yun-db-'))
after(() => rmSync(stateDir, { recursive: true, force: true }))

function yun(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  return { code: status, out: stdout, error: stderr }
}
const db = (...args: string[]) => yun('db', ...args, '--state', stateDir)

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

test('every command explains itself, and a wrong one says which there are', () => {
  for (const command of [[], ['status'], ['upgrade'], ['move']]) {
    const { code, out } = yun('db', ...command, '--help')
    assert.equal(code, 0)
    assert.match(out, /Usage: npx yun db/)
  }
  assert.deepEqual([yun('db', 'mend').code, yun('db', 'mend').error.includes('db upgrade')], [2, true])
  assert.equal(db('move').code, 2)
  assert.match(db('status', '--database', 'mysql://root@localhost/').error, /letters, digits and _/)
})

test('files: missing, made, up to date', () => {
  const before = db('status')
  assert.equal(before.code, 1)
  assert.match(before.out, /compute +\| .*compute\.sqlite +\| missing/)
  const made = db('upgrade')
  assert.equal(made.code, 0, made.error)
  assert.match(made.out, /identity .*: made; applied 001-identity/)
  const after = db('status')
  assert.deepEqual([after.code, after.out.match(/up to date/g)?.length], [0, 7])
})

onMariaDb((fresh) => {
  let url = ''
  after(async () => {
    if (url) for (const one of serviceDatabases({ stateDir, url })) await dropDatabase(one.url)
  })

  test('a cloud that runs is not moved; stopped, all of it moves', { timeout: 240_000 }, async () => {
    url = await fresh()
    const up = yun('up', '--no-demo', '--detach', '--hypervisor', 'simulated', '--state', stateDir, '--port', String(await freePort()))
    assert.equal(up.code, 0, up.error)
    try {
      const running = db('move', '--to', url)
      assert.deepEqual([running.code, running.error.includes('already runs')], [1, true])
      assert.equal(db('upgrade').code, 1)
    } finally {
      yun('stop', '--state', stateDir)
    }
    const moved = db('move', '--to', url)
    assert.equal(moved.code, 0, moved.error)
    assert.match(moved.out, /All of it arrived/)
    const [identity] = serviceDatabases({ stateDir, url })
    await using(identity!, async ({ db: there }) => {
      const users = await there.selectFrom('users').select('name').execute()
      assert.ok(users.some((user: any) => user.name === 'admin'))
    })
    const state = yun('db', 'status', '--state', stateDir, '--database', url)
    assert.deepEqual([state.code, state.out.match(/up to date/g)?.length], [0, 7], state.error)
    assert.match(state.out, /single/)
    const again = db('move', '--to', url)
    assert.deepEqual([again.code, again.error.includes('is not empty')], [1, true])
    const upgraded = yun('db', 'upgrade', '--json', '--state', stateDir, '--database', url)
    assert.deepEqual(
      JSON.parse(upgraded.out).map((one: any) => one.applied),
      serviceDatabases({ stateDir }).map(() => []),
    )
    assert.equal(await databaseExists(serviceDatabases({ stateDir })[0]!.url), true)
  })

  test('control refuses a database of the version before, says what to run, and starts when that was done', {
    timeout: 240_000,
  }, async (t) => {
    const other = await fresh()
    const list = serviceDatabases({ stateDir, url: other })
    t.after(async () => {
      for (const one of list) await dropDatabase(one.url)
    })
    for (const one of list) await createDatabase(one.url)
    const compute = list.find(({ service }) => service === 'compute')!
    const last = Object.keys(compute.migrations).sort().at(-1)!
    const { [last]: _, ...before } = compute.migrations
    await using({ ...compute, migrations: before }, (database) => database.migrate())
    const dir = join(stateDir, 'other')
    const config = join(stateDir, 'cloud.yaml')
    writeFileSync(config, `database: "${other}"\n`)
    const up = ['up', '--no-demo', '--detach', '--hypervisor', 'simulated', '--config', config, '--state', dir]
    const refused = yun(...up, '--port', String(await freePort()))
    assert.equal(refused.code, 1)
    assert.match(refused.error, new RegExp(`_compute lacks ${last},.*"npx yun db upgrade"`))
    assert.equal(yun('db', 'upgrade', '--config', config, '--state', dir).code, 0)
    try {
      const started = yun(...up, '--port', String(await freePort()))
      assert.equal(started.code, 0, started.error)
    } finally {
      yun('stop', '--state', dir)
    }
  })
})
