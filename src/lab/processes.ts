import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { askToStop } from '../cloud/lock.ts'
import { readMembership } from '../cloud/membership.ts'
import { loadSecrets } from '../cloud/secrets.ts'
import { LAB_STATE, type LabMachine } from '../host/machine/lab.ts'
import { waitUntil } from '../host/machine/wait.ts'
import { unavailable } from '../kernel/errors/errors.ts'

const MAIN = join(import.meta.dirname, '../cli/main.ts')
const START_MS = 120_000
/** What a service manager grants. */
const STOP_MS = 60_000

/** One `yun` process of a lab. */
export interface LabProcess {
  name: string
  stateDir: string
  /** Returns when it says that it is ready. */
  start(): Promise<void>
  /** In order, as a service manager does. */
  stop(): Promise<void>
  /** At once, as a crash does. */
  kill(): Promise<void>
}

/** One that has a machine to itself. */
export type LabMachineProcess = LabProcess & { machine: LabMachine }

interface Place {
  dir: string
  config: string
}

/** The one control process of a lab without a cluster, on the machine that the lab is in. */
export const controlHere = (place: Place & { address: string; port: number }): LabProcess => control({ ...place, name: 'control' })

export function controlProcess({ machine, ...place }: Place & { machine: LabMachine; port: number }): LabMachineProcess {
  const { name, address } = machine
  return { machine, ...control({ ...place, name, address, enter: () => machine.machine.enter }) }
}

function control(place: Place & { name: string; address: string; port: number; enter?: () => string[] }): LabProcess {
  const { dir, config, name, address, port, enter = () => [] } = place
  const stateDir = join(dir, name)
  const args = async () => ['control', '--config', config, '--state', stateDir, '--host', address, '--port', String(port)]
  return { name, stateDir, ...runs({ name, enter, args, log: join(dir, `${name}.out`), lock: () => stateDir }) }
}

export function hostProcess(place: Place & { url: string; sharedDir: string; machine: LabMachine }): LabMachineProcess {
  const { dir, config, url, sharedDir, machine } = place
  const { name, address } = machine
  const args = async () => {
    const joining = readMembership(machine.machine.path(LAB_STATE))
      ? []
      : ['--control', url, '--token', await joinToken(url, sharedDir), '--name', name]
    return ['host', '--config', config, '--state', LAB_STATE, '--address', address, ...joining]
  }
  const enter = () => machine.machine.enter
  const lock = () => machine.machine.path(LAB_STATE)
  return { name, stateDir: LAB_STATE, machine, ...runs({ name, enter, args, log: join(dir, `${name}.out`), lock }) }
}

async function joinToken(url: string, sharedDir: string): Promise<string> {
  const domain = { id: 'default' }
  const user = { name: 'admin', password: loadSecrets(sharedDir).adminPassword, domain }
  const login = await fetch(`${url}/identity/v3/auth/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      auth: { identity: { methods: ['password'], password: { user } }, scope: { project: { name: 'admin', domain } } },
    }),
  })
  const answer = await fetch(`${url}/cluster/v1/join-tokens`, {
    method: 'POST',
    headers: { 'x-auth-token': login.headers.get('x-subject-token') ?? '' },
  })
  if (answer.status !== 201) throw unavailable(`no join token: ${answer.status} ${await answer.text()}`, 'LabFailed')
  return ((await answer.json()) as { token: string }).token
}

interface Runs {
  name: string
  enter: () => string[]
  args: () => Promise<string[]>
  log: string
  /** Its state directory, as seen from here. */
  lock: () => string
}

function runs({ name, enter, args, log, lock }: Runs): Pick<LabProcess, 'start' | 'stop' | 'kill'> {
  let child: ChildProcess | undefined
  const end = async (tell: (running: ChildProcess) => unknown) => {
    const running = child
    child = undefined
    if (!running || running.exitCode !== null || running.signalCode !== null) return
    const ended = new Promise<void>((resolve) => running.once('exit', () => resolve()))
    await tell(running)
    await ended
  }
  const kill = (running: ChildProcess) => running.kill('SIGKILL')
  return {
    async start() {
      const command = [...enter(), process.execPath, ...process.execArgv, MAIN, ...(await args())]
      writeFileSync(log, '', { mode: 0o600 })
      const out = openSync(log, 'a')
      const started = spawn(command[0]!, command.slice(1), { stdio: ['ignore', out, out] })
      child = started
      await waitUntil(
        `${name} starts`,
        () => {
          const said = readFileSync(log, 'utf8')
          if (started.exitCode !== null)
            throw unavailable(`${name} did not start:\n${said.trim().split('\n').slice(-8).join('\n')}`, 'LabFailed')
          return / after \d/.test(said)
        },
        { timeoutMs: START_MS, everyMs: 20 },
      )
    },
    // a signal would reach the way into its machine, with which it dies
    stop: () =>
      end(async (running) => {
        const patience = setTimeout(kill, STOP_MS, running)
        running.once('exit', () => clearTimeout(patience))
        await askToStop(lock()).catch(() => kill(running))
      }),
    kill: () => end(kill),
  }
}
