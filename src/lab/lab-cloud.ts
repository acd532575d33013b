import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import YAML from 'yaml'
import { readMembership } from '../cloud/membership.ts'
import type { Settings } from '../cloud/settings.ts'
import { createLab, LAB_STATE, type Lab, type LabHost } from '../host/machine/lab.ts'
import { waitUntil } from '../host/machine/wait.ts'
import { unavailable } from '../kernel/errors/errors.ts'

const MAIN = join(import.meta.dirname, '../cli/main.ts')
const API_PORT = 5000
const START_MS = 120_000

export interface LabCloudOptions {
  /** Everything of the lab lies in it; theirs alone. */
  dir: string
  hosts: number
  /** Where the APIs answer outside of the lab, on loopback. */
  port: number
  /** Further settings of control and hosts. */
  settings?: Partial<Settings>
  say?: (what: string) => void
}

/** One `yun` process of the lab. */
export interface LabProcess {
  name: string
  /** Returns when it says that it is ready. */
  start(): Promise<void>
  kill(): Promise<void>
  running(): boolean
}

/** A cloud of several machines inside this one: `yun control` outside, a `yun host` in each host. */
export interface LabCloud {
  url: string
  /** Of the control process: clients' files, secrets, log. */
  stateDir: string
  lab: Lab
  control: LabProcess
  hosts: (LabProcess & { machine: LabHost })[]
  /** Leaves nothing. */
  stop(): Promise<void>
}

/** @throws Fault 503 with the last lines of a process that did not come up */
export async function startLabCloud(options: LabCloudOptions): Promise<LabCloud> {
  const { dir, port, say = () => {} } = options
  mkdirSync(dir, { recursive: true, mode: 0o711 })
  chmodSync(dir, 0o711)
  const undo: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const lab = await createLab({ parent: join(dir, 'machines'), count: options.hosts })
    undo.push(() => lab.destroy())
    for (const machine of [...lab.hosts.map(({ name, machine }) => ({ name, machine })), { name: 'outside', machine: lab.outside }])
      writeWayIn(join(dir, machine.name), machine.machine.enter)
    say(`${lab.hosts.length} machines and an outside: ${lab.hosts.map((host) => `${host.name} ${host.address}`).join(', ')}`)

    const url = `http://127.0.0.1:${port}`
    const config = join(dir, 'cloud.yaml')
    writeFileSync(config, YAML.stringify({ ...options.settings, publicUrl: url, external: EXTERNAL }), { mode: 0o600 })
    const stateDir = join(dir, 'control')
    const inside = `http://${lab.outsideAddress}:${API_PORT}`
    const control = processIn({
      name: 'control',
      enter: () => lab.outside.enter,
      args: () => ['control', '--config', config, '--state', stateDir, '--host', lab.outsideAddress, '--port', String(API_PORT)],
      log: join(dir, 'control.out'),
      doorPort: port,
    })
    await control.start()
    undo.push(() => control.kill())
    say(`control answers on ${url}`)

    const hosts = lab.hosts.map((machine) => ({
      machine,
      ...processIn({
        name: machine.name,
        enter: () => machine.machine.enter,
        args: (token) => [
          ...['host', '--config', config, '--state', LAB_STATE, '--address', machine.address],
          ...(token ? ['--control', inside, '--token', token, '--name', machine.name] : []),
        ],
        token: () => (readMembership(machine.machine.path(LAB_STATE)) ? Promise.resolve(null) : joinToken(url, stateDir)),
        log: join(dir, `${machine.name}.out`),
      }),
    }))
    await Promise.all(hosts.map((host) => host.start()))
    undo.push(() => Promise.all(hosts.map((host) => host.kill())))
    say(`${hosts.map((host) => host.name).join(', ')} have joined`)
    return { url, stateDir, lab, control, hosts, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The lab's outside has the gateway's address already. */
const EXTERNAL: Settings['external'] = {
  cidr: '172.24.4.0/24',
  gateway: '172.24.4.1',
  start: '172.24.4.10',
  end: '172.24.4.250',
  gatewayHere: false,
}

function listen(port: number): Promise<Server> {
  const server = createServer()
  return new Promise((resolve, reject) =>
    server.once('error', reject).listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server)),
  )
}

async function joinToken(url: string, stateDir: string): Promise<string> {
  const { adminPassword } = JSON.parse(readFileSync(join(stateDir, 'secrets.json'), 'utf8'))
  const domain = { id: 'default' }
  const user = { name: 'admin', password: adminPassword, domain }
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

interface ProcessOptions {
  name: string
  enter: () => string[]
  args: (token: string | null) => string[]
  token?: () => Promise<string | null>
  log: string
  /** Listens there too, on loopback of the machine that the lab is in. */
  doorPort?: number
}

function processIn({ name, enter, args, token, log, doorPort }: ProcessOptions): LabProcess {
  let child: ChildProcess | undefined
  const running = () => child !== undefined && child.exitCode === null && child.signalCode === null
  return {
    name,
    running,
    async start() {
      const given = (await token?.()) ?? null
      writeFileSync(log, '', { mode: 0o600 })
      const out = openSync(log, 'a')
      const door = doorPort === undefined ? undefined : await listen(doorPort)
      const fd = door && (door as unknown as { _handle: { fd: number } })._handle.fd
      const command = [...enter(), process.execPath, ...process.execArgv, MAIN, ...args(given)]
      const started = spawn(command[0]!, command.slice(1), {
        stdio: ['ignore', out, out, ...(fd === undefined ? [] : [fd])],
        env: { ...process.env, ...(fd === undefined ? {} : { YUN_LISTEN_FD: '3' }) },
      })
      child = started
      door?.close() // only the child accepts
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
    async kill() {
      if (!running()) return
      const ended = new Promise<void>((resolve) => child!.once('exit', () => resolve()))
      child!.kill('SIGKILL')
      await ended
    },
  }
}

/** `DIR/node1 virsh list`, as on a machine next door. */
function writeWayIn(file: string, enter: string[]): void {
  const quoted = enter.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  writeFileSync(file, `#!/bin/sh\nexec ${quoted} "\${@:-bash}"\n`.replace('#!/bin/sh', '#!/usr/bin/env bash'), { mode: 0o700 })
}
