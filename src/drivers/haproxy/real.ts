import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../../kernel/exec/exec.ts'
import { adopted, anyoneReaches, endProcess, isInside, processesWith, until } from '../daemon.ts'
import { configurationOf, identifier } from './configuration.ts'
import type { HaProxy } from './driver.ts'

const USER = 'haproxy'

/** haproxy of this machine, one for each namespace, with `directory`/<id>.conf and .pid; needs root. */
export function realHaProxy({ directory }: { directory: string }): HaProxy {
  const file = (id: string, ending: 'conf' | 'pid') => join(directory, `${identifier(id)}.${ending}`)
  const pidOf = (id: string) => adopted(file(id, 'pid'), 'haproxy', file(id, 'conf'))
  const stopProcess = async (id: string) => {
    const pid = pidOf(id)
    if (pid !== undefined) await endProcess(pid, `haproxy of ${id}`)
  }
  return {
    async ensure(proxy) {
      const configuration = configurationOf(proxy, file(proxy.id, 'pid'), userFor(proxy.socket))
      const pid = pidOf(proxy.id)
      const conf = file(proxy.id, 'conf')
      if (pid !== undefined && isInside(pid, proxy.namespace) && existsSync(conf) && readFileSync(conf, 'utf8') === configuration)
        return 'unchanged'
      mkdirSync(directory, { recursive: true, mode: 0o755 })
      await stopProcess(proxy.id)
      writeFileSync(conf, configuration)
      await exec('haproxy', ['-f', conf], { netns: proxy.namespace })
      await until(`haproxy of ${proxy.id} runs`, () => pidOf(proxy.id) !== undefined, 5_000)
      return pid === undefined ? 'started' : 'restarted'
    },
    async stop(id) {
      await stopProcess(id)
      for (const ending of ['conf', 'pid'] as const) rmSync(file(id, ending), { force: true })
    },
    async list() {
      const found = new Map<string, number | undefined>()
      for (const name of existsSync(directory) ? readdirSync(directory) : [])
        if (name.endsWith('.conf')) found.set(name.slice(0, -5), undefined)
      for (const { pid, argument } of processesWith('haproxy', `${directory}/`))
        found.set(argument.slice(directory.length + 1).replace(/\.conf$/, ''), pid)
      return [...found].map(([id, pid]) => ({ id, pid })).sort((a, b) => (a.id < b.id ? -1 : 1))
    },
  }
}

/** Lets the proxies, which have given up root, and nobody else but root use a socket: whoever can write to it can pass for any guest. */
export function openToProxies(socket: string): void {
  const group = groupOf(USER)
  if (group !== undefined) chownSync(socket, 0, group)
  chmodSync(socket, group === undefined ? 0o600 : 0o660)
}

/** The proxy gives up root where the unprivileged user exists and can still reach the socket. */
const userFor = (socket: string) => (groupOf(USER) !== undefined && anyoneReaches(socket) ? USER : undefined)

/** The number of a group of this machine. */
function groupOf(name: string): number | undefined {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${name}:`))
  return line === undefined ? undefined : Number(line.split(':')[2])
}
