import { spawn } from 'node:child_process'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { waitUntil } from '../host/machine/wait.ts'
import { unavailable } from '../kernel/errors/errors.ts'

const EXAMPLE = join(import.meta.dirname, '../../deploy/haproxy.cfg')

/** HAProxy with the configuration that deploy/ ships, for the addresses given (`host:port`). Returns how to stop it. */
export async function startBalancer({ dir, listen, servers }: { dir: string; listen: string; servers: string[] }): Promise<() => void> {
  const lines = readFileSync(EXAMPLE, 'utf8')
    .split('\n')
    .filter((line) => !/^ {2}server /.test(line))
    .map((line) => line.replace(/^( {2}bind ).*/, `$1${listen}`))
  const file = join(dir, 'haproxy.cfg')
  writeFileSync(file, `${lines.join('\n').trimEnd()}\n${servers.map((server, i) => `  server control${i + 1} ${server}\n`).join('')}`)
  const log = openSync(join(dir, 'haproxy.out'), 'a')
  const child = spawn('haproxy', ['-f', file, '-db'], { stdio: ['ignore', log, log] })
  const [host, port] = listen.split(':') as [string, string]
  await waitUntil('HAProxy listens', () => {
    if (child.exitCode !== null)
      throw unavailable(`HAProxy did not start: ${readFileSync(join(dir, 'haproxy.out'), 'utf8').trim()}`, 'LabFailed')
    return listens(host, Number(port))
  })
  return () => void child.kill('SIGKILL')
}

const listens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
