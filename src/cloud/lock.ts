import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { conflict } from '../kernel/errors/errors.ts'

/** Who runs the cloud of a state directory: told to every client that connects to `yun.sock`. */
export interface Running {
  pid: number
  url: string
  startedAt: string
  /** All APIs answer. */
  ready: boolean
  /** What a user should know of this machine: emulated guests, userspace switch, ... */
  notices: string[]
}

/** Asks the cloud of this state directory who it is; null if none runs. A socket file left by a killed process answers nobody. */
export function whoRuns(stateDir: string): Promise<Running | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect(join(stateDir, 'yun.sock'))
    socket.setTimeout(5000, () => socket.destroy())
    socket.on('data', (chunk) => void chunks.push(chunk as Buffer))
    socket.on('error', () => resolve(null))
    socket.on('close', () => {
      try {
        resolve(JSON.parse(Buffer.concat(chunks).toString()))
      } catch {
        resolve(null)
      }
    })
  })
}

const STOP = 'stop'

/** Asks the cloud of this state directory to stop in order. By its socket: in a machine of its own inside this one its process has another number here. */
export function askToStop(stateDir: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(stateDir, 'yun.sock'))
    socket.once('error', reject)
    socket.once('close', () => resolve())
    socket.end(STOP)
    socket.resume()
  })
}

/**
 * Holds the state directory for this process.
 * @throws Fault 409 AlreadyRunning naming the pid that holds it
 */
export async function holdStateDir(
  stateDir: string,
  url: string,
): Promise<{ ready(url: string, notices: string[]): void; release(): void }> {
  mkdirSync(stateDir, { recursive: true, mode: 0o711 })
  const other = await whoRuns(stateDir)
  if (other)
    throw conflict(
      `a cloud already runs on ${stateDir} (pid ${other.pid}, ${other.url}); stop it with: npx yun stop --state ${stateDir}`,
      'AlreadyRunning',
    )
  const path = join(stateDir, 'yun.sock')
  rmSync(path, { force: true })
  const running: Running = { pid: process.pid, url, startedAt: new Date().toISOString(), ready: false, notices: [] }
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (word) => word.toString() === STOP && process.kill(process.pid, 'SIGTERM'))
    socket.end(JSON.stringify(running))
  })
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen({ path, readableAll: false, writableAll: false }, resolve),
  )
  writeFileSync(join(stateDir, 'yun.pid'), `${process.pid}\n`)
  return {
    ready: (at, notices) => void Object.assign(running, { ready: true, url: at, notices }),
    release() {
      server.close()
      if (readFileSync(join(stateDir, 'yun.pid'), 'utf8').trim() === String(process.pid)) rmSync(join(stateDir, 'yun.pid'), { force: true })
    },
  }
}
