import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { exec } from '../src/kernel/exec/exec.ts'
import { roomyMemory } from './memory.ts'

export interface MariaDb {
  /** For YUN_TEST_MYSQL and database URLs: an address without a database name. */
  url: string
  stop(): Promise<void>
}

/** A MariaDB of the tests' own on a private socket, all of it in a temporary directory. */
export async function startMariaDb(): Promise<MariaDb> {
  const dir = mkdtempSync(join(roomyMemory(), 'yun-mariadb-'))
  const socket = join(dir, 'socket')
  const user = userInfo().username
  await exec(
    'mariadb-install-db',
    ['--no-defaults', `--datadir=${dir}/data`, `--user=${user}`, '--auth-root-authentication-method=normal', '--skip-test-db'],
    { timeoutMs: 120_000 },
  )
  const server: ChildProcess = spawn(
    'mariadbd',
    [
      '--no-defaults',
      `--datadir=${dir}/data`,
      `--socket=${socket}`,
      `--user=${user}`,
      '--skip-networking',
      '--innodb-flush-log-at-trx-commit=0',
      '--innodb-buffer-pool-size=64M',
      '--max-connections=500',
      `--pid-file=${dir}/pid`,
    ],
    { stdio: 'ignore' },
  )
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  await exec('mariadb-admin', ['--no-defaults', `--socket=${socket}`, '--user=root', '--connect-timeout=60', '--wait=60', 'ping'], {
    timeoutMs: 90_000,
  })
  return {
    url: `mysql://root@localhost?socketPath=${socket}`,
    async stop() {
      server.kill('SIGTERM')
      await ended
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
