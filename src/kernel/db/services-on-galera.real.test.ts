import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { type Galera, startGalera } from '../../lab/galera.ts'
import { exec } from '../exec/exec.ts'

/** What two control processes on one database may not spoil, asked again of two that work on two nodes of a cluster. */

let galera: Galera
before(async () => {
  galera = await startGalera()
})
after(() => galera?.stop())

for (const file of globSync(['src/*/concurrent.test.ts', 'src/kernel/http/shared-rate-limit.test.ts']).sort())
  test(file, { timeout: 180_000 }, async () => {
    // with NODE_TEST_CONTEXT it would report to this test's runner instead of telling
    const args = ['-u', 'NODE_TEST_CONTEXT', process.execPath, '--disable-warning=ExperimentalWarning', '--test', file]
    const { stdout } = await exec('env', args, { env: { YUN_TEST_MYSQL: galera.url }, timeoutMs: 170_000 })
    assert.match(stdout, /two processes/)
    assert.match(stdout, /fail 0/)
  })
