import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../../kernel/exec/exec.ts'
import { adopted, anyoneReaches, commandLine, endProcess, isInside, processesWith, until } from '../daemon.ts'
import { argumentsOf, identifier } from './arguments.ts'
import type { Radv } from './driver.ts'

/** dnsmasq of this machine as a router's advertiser, with its files in `directory`/<router id>; needs root. */
export function realRadv({ directory }: { directory: string }): Radv {
  const folder = (routerId: string) => join(directory, identifier(routerId))
  const pidOf = (routerId: string) => adopted(join(folder(routerId), 'pid'), 'dnsmasq', `--pid-file=${folder(routerId)}/pid`)
  const stopProcess = async (routerId: string) => {
    const pid = pidOf(routerId)
    if (pid !== undefined) await endProcess(pid, `dnsmasq of router ${routerId}`)
  }
  return {
    async ensure(advertisements) {
      const { routerId, namespace } = advertisements
      const home = folder(routerId)
      const args = argumentsOf(advertisements, home, anyoneReaches(home) ? 'nobody' : 'root')
      const pid = pidOf(routerId)
      if (pid !== undefined && isInside(pid, namespace) && commandLine(pid)?.slice(1).join('\0') === args.join('\0')) return 'unchanged'
      mkdirSync(home, { recursive: true, mode: 0o755 })
      await stopProcess(routerId)
      await exec('dnsmasq', args, { netns: namespace })
      await until(`dnsmasq of router ${routerId} writes its pid`, () => pidOf(routerId) !== undefined, 5_000)
      return pid === undefined ? 'started' : 'restarted'
    },
    async stop(routerId) {
      await stopProcess(routerId)
      rmSync(folder(routerId), { recursive: true, force: true })
    },
    async list() {
      const found = new Map<string, number | undefined>()
      for (const name of existsSync(directory) ? readdirSync(directory) : []) found.set(name, undefined)
      for (const { pid, argument } of processesWith('dnsmasq', `--pid-file=${directory}/`))
        found.set(argument.slice(`--pid-file=${directory}/`.length).split('/')[0]!, pid)
      return [...found].map(([routerId, pid]) => ({ routerId, pid })).sort((a, b) => (a.routerId < b.routerId ? -1 : 1))
    },
  }
}
