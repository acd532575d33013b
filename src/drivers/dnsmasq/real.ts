import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../../kernel/exec/exec.ts'
import { adopted, anyoneReaches, commandLine, endProcess, isInside, processesWith, until } from '../daemon.ts'
import { ipAddress } from '../netns/words.ts'
import type { DhcpOutcome, DhcpService, Dnsmasq } from './driver.ts'
import { argumentsOf, filesOf, identifier, parseLeases } from './files.ts'
import { type LogReader, readLog } from './log.ts'

/** A server that does not say within this many ms that it has read its files does not work. */
const PATIENCE_MS = 5_000

/** dnsmasq of this machine, one for each network, with its files in `directory`/<network id>; needs root. */
export function realDnsmasq({ directory }: { directory: string }): Dnsmasq {
  const listeners = new Set<Parameters<Dnsmasq['follow']>[0]>()
  const logs = new Map<string, LogReader>()
  const folder = (networkId: string) => join(directory, identifier(networkId))
  const pidOf = (networkId: string) => adopted(join(folder(networkId), 'pid'), 'dnsmasq', `--pid-file=${folder(networkId)}/pid`)

  function log(networkId: string): LogReader {
    const known = logs.get(networkId)
    if (known) return known
    const reader = readLog(networkId, folder(networkId), (event) => {
      for (const listener of listeners) listener(event)
    })
    logs.set(networkId, reader)
    return reader
  }

  async function start(service: DhcpService, args: string[]): Promise<void> {
    await exec('dnsmasq', args, { netns: service.namespace })
  }

  async function stopProcess(networkId: string): Promise<void> {
    const pid = pidOf(networkId)
    if (pid !== undefined) await endProcess(pid, `dnsmasq of network ${networkId}`)
  }

  return {
    async ensure(service): Promise<DhcpOutcome> {
      const { networkId } = service
      const home = folder(networkId)
      const files = filesOf(service)
      // it gives up root where another user could still reach its files to read them again
      const args = argumentsOf(service, home, anyoneReaches(home) ? 'nobody' : 'root')
      mkdirSync(home, { recursive: true, mode: 0o755 })
      const changed = Object.entries(files).filter(([name, text]) => writeIfChanged(join(home, name), text)).length > 0
      const pid = pidOf(networkId)
      const reader = log(networkId)
      const standing = leasesInTheWay(service, home)
      if (
        pid !== undefined &&
        commandLine(pid)?.slice(1).join('\0') === args.join('\0') &&
        isInside(pid, service.namespace) &&
        !standing.size
      ) {
        if (!changed) return 'unchanged'
        reader.read()
        const read = reader.waitFor(`: read ${home}/host`, PATIENCE_MS)
        process.kill(pid, 'SIGHUP')
        await read
        return 'reloaded'
      }
      await stopProcess(networkId)
      dropLeases(home, standing)
      await start(service, args)
      await until(`dnsmasq of network ${networkId} writes its pid`, () => pidOf(networkId) !== undefined, PATIENCE_MS)
      return pid === undefined ? 'started' : 'restarted'
    },

    async stop(networkId) {
      await stopProcess(networkId)
      logs.get(networkId)?.close()
      logs.delete(networkId)
      rmSync(folder(networkId), { recursive: true, force: true })
    },

    async list() {
      const found = new Map<string, number | undefined>()
      for (const entry of existsSync(directory) ? readdirSync(directory, { withFileTypes: true }) : [])
        if (entry.isDirectory()) found.set(entry.name, undefined)
      for (const { pid, argument } of processesWith('dnsmasq', `--pid-file=${directory}/`))
        found.set(argument.slice(`--pid-file=${directory}/`.length).split('/')[0]!, pid)
      return [...found].map(([networkId, pid]) => ({ networkId, pid })).sort((a, b) => (a.networkId < b.networkId ? -1 : 1))
    },

    leases: async (networkId) => parseLeases(readIfThere(join(folder(networkId), 'leases')) ?? ''),
    hostFile: (networkId) => join(folder(networkId), 'host'),

    follow(listener) {
      listeners.add(listener)
      for (const reader of logs.values()) reader.read()
      return () => listeners.delete(listener)
    },

    async close() {
      for (const reader of logs.values()) reader.close()
      logs.clear()
    },
  }
}

/** Leases that keep a configured address from the port that has it now: dnsmasq would go on refusing that port. */
function leasesInTheWay(service: DhcpService, home: string): Set<string> {
  const owner = new Map(
    service.hosts.flatMap((host) => host.addresses.map((address) => [ipAddress(address), host.mac.toLowerCase()] as const)),
  )
  const leases = parseLeases(readIfThere(join(home, 'leases')) ?? '')
  return new Set(leases.filter((lease) => owner.has(lease.address) && owner.get(lease.address) !== lease.mac).map((lease) => lease.line))
}

/** Only while the server does not run: it holds its leases in memory and writes them over. */
function dropLeases(home: string, lines: Set<string>): void {
  if (!lines.size) return
  const file = join(home, 'leases')
  const rest = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => !lines.has(line))
  writeFileSync(file, rest.join('\n'))
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function writeIfChanged(file: string, text: string): boolean {
  if (readIfThere(file) === text) return false
  writeFileSync(`${file}.new`, text, { mode: 0o644 })
  renameSync(`${file}.new`, file)
  return true
}
