import { spawn } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { guestImage } from '../cloud/guest-image.ts'
import { whoRuns } from '../cloud/lock.ts'
import { machineFor } from '../cloud/machine.ts'
import { loadSecrets } from '../cloud/secrets.ts'
import { defaultStateDir, readSettings, type Settings } from '../cloud/settings.ts'
import { conflict, type Fault, unavailable } from '../kernel/errors/errors.ts'
import { showMs } from '../kernel/units/units.ts'
import { Api, until } from './api.ts'
import { demo } from './demo.ts'
import { onSignal, stayUntilStopped } from './stay.ts'
import { screenOf } from './steps-view.ts'
import { table } from './table.ts'
import { trustCloudOf } from './trust.ts'

const HELP = `Starts a cloud and stays in the foreground; Ctrl-C stops it in order. Guests, networks and volumes stay for the next start.

Usage: npm start -- [options]

  --no-demo              only bring the cloud up
  --detach               return when all APIs answer; stop it with: npx yun stop
  --state DIR            where everything of this cloud lies (root: /var/lib/yun)
  --port N               API port (5000)
  --host ADDRESS         listen address (127.0.0.1)
  --hypervisor KIND      libvirt (real guests, needs root) or simulated (everything but real guests, networks and disks)
  --simulated-hosts N    with the simulated hypervisor: play N hosts, node1 to nodeN
  --external-cidr CIDR   the network of the floating IPs, a /24 (172.24.4.0/24)
  --config FILE          all settings, in YAML
  --log-level LEVEL      of DIR/yun.log (info)
  --development          check every answer against its schema
`

/** Set in the process that holds the cloud when another one started it: the listening socket it inherits. */
const LISTEN_FD = 'YUN_LISTEN_FD'

export async function run(argv: string[]): Promise<number> {
  const { settings, demo: wantDemo, detach, help } = readSettings(argv, hostname())
  if (help) {
    console.log(HELP)
    return 0
  }
  if (process.env[LISTEN_FD]) return await hold(settings, Number(process.env[LISTEN_FD]))
  const started = performance.now()
  const running = await whoRuns(settings.stateDir)
  if (running)
    throw conflict(
      `a cloud already runs on ${settings.stateDir} (pid ${running.pid}, ${running.url}); stop it with: npx yun stop --state ${settings.stateDir}`,
      'AlreadyRunning',
    )

  const image = wantDemo && settings.hypervisor === 'libvirt' ? await guestImage((text) => console.log(` Guest      · ${text}`)) : null
  const machine = await machineFor(settings)
  if (machine.notice) console.log(` Machine    · ${machine.notice}`)
  const cloud = detach || machine.enter.length > 0 ? await apart(settings, argv, machine.enter, detach) : await here(settings)
  console.log(` Cloud      · all APIs answer on ${cloud.url} after ${showMs(performance.now() - started)}`)
  for (const notice of cloud.notices) console.log(` Machine    · ${notice}`)
  if (wantDemo) await main(settings, cloud.url, image, machine.enter)
  closing(settings, detach)
  return detach ? 0 : await cloud.ended
}

interface Held {
  url: string
  notices: string[]
  /** Resolves with the exit code when the cloud has stopped. */
  ended: Promise<number>
}

async function here(settings: Settings): Promise<Held> {
  const cloud = await start(settings)
  return { url: cloud.url, notices: cloud.notices, ended: stayUntilStopped(cloud) }
}

/** The cloud in a process of its own: in the background, or on a machine of its own inside this one (whose listening socket is still this machine's). */
async function apart(settings: Settings, argv: string[], enter: string[], detach: boolean): Promise<Held> {
  const server = createServer()
  await new Promise<void>((resolve, reject) =>
    server
      .once('error', (error: NodeJS.ErrnoException) => reject(portFault(error, settings)))
      .listen({ port: settings.port, host: settings.host, exclusive: true }, resolve),
  )
  const fd = (server as unknown as { _handle: { fd: number } })._handle.fd
  const log = openSync(join(settings.stateDir, 'yun.out'), 'a', 0o600)
  const command = [...enter, process.execPath, ...process.execArgv, process.argv[1]!, 'up', ...argv]
  const child = spawn(command[0]!, command.slice(1), {
    detached: true,
    stdio: ['ignore', log, log, fd],
    env: { ...process.env, [LISTEN_FD]: '3' },
  })
  const ended = new Promise<number>((resolve) => child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGTERM' ? 0 : 1))))
  let dead = false
  void ended.then(() => (dead = true))
  const who = await until('the cloud to answer', 120_000, async () => {
    if (dead)
      throw unavailable(
        `the cloud did not start:\n${readFileSync(join(settings.stateDir, 'yun.out'), 'utf8').trim().split('\n').slice(-6).join('\n')}`,
        'StartFailed',
      )
    const found = await whoRuns(settings.stateDir)
    return found?.ready ? found : null
  })
  server.close()
  if (detach) child.unref()
  else onSignal(() => process.kill(who.pid, 'SIGTERM'))
  return { url: who.url, notices: who.notices, ended }
}

/** Whoever only starts another process does not load what it will run. */
async function start(settings: Settings, fd?: number) {
  const { startCloud } = await import('../cloud/cloud.ts')
  return await startCloud(settings, { fd }).catch((error) => {
    throw error.syscall === 'listen' ? portFault(error, settings) : error
  })
}

/** The process that holds the cloud for {@link apart}. */
async function hold(settings: Settings, fd: number): Promise<number> {
  const cloud = await start(settings, fd)
  await new Promise<void>((resolve) => onSignal(resolve))
  await cloud.stop()
  return 0
}

export const portFault = (error: NodeJS.ErrnoException, settings: Pick<Settings, 'port' | 'host'>): Fault =>
  error.code === 'EADDRINUSE'
    ? conflict(`port ${settings.port} on ${settings.host} is in use by another program; choose another: npm start -- --port N`, 'PortInUse')
    : unavailable(`cannot listen on ${settings.host}:${settings.port}: ${error.message}`, 'Listen', error)

async function main(settings: Settings, url: string, imageFile: string | null, enter: string[]): Promise<void> {
  const secrets = loadSecrets(settings.stateDir)
  trustCloudOf(settings.stateDir)
  const api = new Api({ url, username: 'admin', password: secrets.adminPassword, project: 'demo' })
  const result = await demo({
    api,
    stateDir: settings.stateDir,
    imageFile,
    external: settings.external,
    enter,
    screen: screenOf(process.stdout),
  })
  const { server } = result
  const addresses = Object.entries(server.addresses as Record<string, { addr: string }[]>).map(
    ([name, list]) => `${name}=${list.map((one) => one.addr).join(', ')}`,
  )
  console.log(
    `\n${table(['ID', 'Name', 'Status', 'Networks', 'Host', 'Volume'], [[server.id, server.name, server.status, addresses.join('; '), server['OS-EXT-SRV-ATTR:host'] ?? '', result.volumeDevice]])}\n`,
  )
  if (imageFile) console.log(`  log in      ${result.ssh}`)
  if (result.consoleUrl && imageFile) console.log(`  its screen  ${result.consoleUrl}`)
  console.log(`  its story   npx yun trace hello${stateFlag(settings)}`)
}

function closing(settings: Settings, detach: boolean): void {
  console.log(
    `  clients     source ${settings.stateDir}/openrc        or  export OS_CLIENT_CONFIG_FILE=${settings.stateDir}/clouds.yaml OS_CLOUD=yun`,
  )
  console.log(`  stop        ${detach ? '' : 'Ctrl-C  or  '}npx yun stop${stateFlag(settings)}        (guests go on running)`)
}

const stateFlag = (settings: Settings) => (settings.stateDir === defaultStateDir() ? '' : ` --state ${settings.stateDir}`)
