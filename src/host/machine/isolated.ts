import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from '../../kernel/errors/errors.ts'
import { adopt, createIsolation, type Isolation, removeIfEmpty, sweep } from './isolation.ts'
import { childrenOf } from './processes.ts'

const USAGE = `Runs a command on a machine of its own inside this one (network, processes, mounts, control groups), then removes that machine.

  isolated.ts [--keep NAME] -- COMMAND [ARGUMENT…]   --keep: the machine stays; the next --keep NAME uses it again
  isolated.ts --destroy NAME                         removes a kept one
`
const PARENT = join(tmpdir(), 'yun-isolated')
/** A command that was told to end gets this long before it is killed. */
const GRACE_MS = 5_000

process.exitCode = await main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${describe(error).message}\n`)
  return 125
})

async function main(argv: string[]): Promise<number> {
  const split = argv.indexOf('--')
  const [option, name, ...rest] = split < 0 ? argv : argv.slice(0, split)
  const command = split < 0 ? [] : argv.slice(split + 1)
  if (option === '--destroy' && name && rest.length === 0 && split < 0) {
    await adopt(name, join(PARENT, name))?.destroy()
    removeIfEmpty(PARENT)
    return 0
  }
  if (command.length === 0 || (option !== undefined && (option !== '--keep' || !name || rest.length > 0))) {
    process.stderr.write(USAGE)
    return 2
  }
  const signals = hearSignals()
  mkdirSync(PARENT, { recursive: true })
  await sweep(PARENT)
  const isolation = name
    ? (adopt(name, join(PARENT, name)) ?? (await makeOne(name, false)))
    : await makeOne(`test-${randomBytes(4).toString('hex')}`, true)
  for (const note of isolation.notes) process.stderr.write(`${note}\n`)
  try {
    return await runInside(isolation, command, signals)
  } finally {
    if (!name) await isolation.destroy()
    removeIfEmpty(PARENT)
  }
}

function makeOne(name: string, bound: boolean): Promise<Isolation> {
  return createIsolation({ name, dir: join(PARENT, name), bound })
}

/** From the start, so that no signal ends this process between making the isolation and removing it. */
function hearSignals() {
  const heard: { first?: NodeJS.Signals; tell?: (signal: NodeJS.Signals) => void } = {}
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      heard.first ??= signal
      heard.tell?.(signal)
    })
  }
  return heard
}

async function runInside(isolation: Isolation, command: string[], signals: ReturnType<typeof hearSignals>): Promise<number> {
  if (signals.first) return 128 + constants.signals[signals.first]
  const [program, ...args] = [...isolation.enterAt(process.cwd()), ...command]
  const child = spawn(program!, args, { stdio: 'inherit', env: { ...process.env, YUN_ISOLATED: isolation.name } })
  let timer: NodeJS.Timeout | undefined
  signals.tell = (signal) => {
    // nsenter waits for the command and passes no signals on.
    for (const pid of childrenOf(child.pid!)) process.kill(pid, signal)
    timer ??= setTimeout(() => child.kill('SIGKILL'), GRACE_MS)
  }
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      clearTimeout(timer)
      resolve(signals.first ? 128 + constants.signals[signals.first] : (code ?? 128 + constants.signals[signal!]))
    })
  })
}
