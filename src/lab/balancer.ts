import { spawn } from 'node:child_process'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { waitUntil } from '../host/machine/wait.ts'
import { unavailable } from '../kernel/errors/errors.ts'

const EXAMPLE = join(import.meta.dirname, '../../deploy/haproxy.cfg')

/** HAProxy with the configuration that deploy/ ships, for the addresses given (`host:port`). Returns how to stop it. */
export async function startBalancer({ dir, listen, servers }: { dir: string; listen: string; servers: string[] }): Promise<() => void> {
  const file = join(dir, 'haproxy.cfg')
  writeFileSync(file, configurationOf({ listen, servers }))
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

/** The example's, with these addresses in place of its own. */
function configurationOf({ listen, servers }: { listen: string; servers: string[] }): string {
  const example = readFileSync(EXAMPLE, 'utf8')
  const [, options] = /^ {2}server \S+ \S+(.*)$/m.exec(example)!
  const others = example.replaceAll(/^ {2}server .*\n/gm, '').replace(/^( {2}bind ).*/m, `$1${listen}`)
  return `${others}${servers.map((server, i) => `  server control${i + 1} ${server}${options}\n`).join('')}`
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
