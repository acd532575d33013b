import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const YUN = resolve(import.meta.dirname, '../bin/yun')

export interface Ran {
  code: number
  stdout: string
  stderr: string
}

/** Runs a program; never throws for its exit code. */
export function run(program: string, args: string[], env: Record<string, string> = {}, timeout = 120_000): Promise<Ran> {
  return new Promise((done) =>
    execFile(program, args, { env: { ...process.env, ...env }, timeout, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      done({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr }),
    ),
  )
}

/** A cloud in a process of its own, started and stopped as a user would, with everything of it in a temporary directory. */
export class CloudUnderTest {
  readonly stateDir: string
  readonly port: number
  private readonly flags: string[]

  private constructor(stateDir: string, port: number, flags: string[]) {
    this.stateDir = stateDir
    this.port = port
    this.flags = flags
  }

  /** What the last start printed. */
  said = ''

  /** `demo`: with the main job, as `npm start` does it. `development`: answers are held against their schemas, which takes time. */
  static async start(flags: string[] = ['--hypervisor', 'simulated'], { demo = false, development = true } = {}): Promise<CloudUnderTest> {
    const all = development ? ['--development', ...flags] : flags
    const cloud = new CloudUnderTest(mkdtempSync(join(tmpdir(), 'yun-cloud-')), await freePort(), all)
    chmodSync(cloud.stateDir, 0o711)
    await cloud.up({ demo })
    return cloud
  }

  async up({ demo = false } = {}): Promise<void> {
    const where = ['--state', this.stateDir, '--port', String(this.port)]
    const { code, stdout, stderr } = await run(
      YUN,
      ['up', '--detach', ...(demo ? [] : ['--no-demo']), ...where, ...this.flags],
      {},
      600_000,
    )
    this.said = stdout
    if (code !== 0) throw new Error(`the cloud did not start:\n${stdout}${stderr}`)
  }

  yun(...args: string[]): Promise<Ran> {
    return run(YUN, [...args, '--state', this.stateDir])
  }

  get pid(): number {
    return Number(readFileSync(join(this.stateDir, 'yun.pid'), 'utf8'))
  }

  /** The variables of openrc. */
  get env(): Record<string, string> {
    return openrcOf(this.stateDir)
  }

  /** A client as one types it; its output. @throws Error with what it said when it fails */
  async client(program: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(program, args, this.env)
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
    return stdout
  }

  async json(program: string, ...args: string[]): Promise<any> {
    return JSON.parse(await this.client(program, ...args, '-f', 'json'))
  }

  /** Copies what the cloud has written about itself into `dir`. */
  leaveLogs(dir: string): void {
    for (const name of ['yun.log', 'yun.out']) copyFileSync(join(this.stateDir, name), join(dir, name))
  }

  async stop(): Promise<void> {
    await this.yun('stop')
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}

/** The variables of a cloud's openrc. */
export function openrcOf(stateDir: string): Record<string, string> {
  const lines = readFileSync(join(stateDir, 'openrc'), 'utf8').matchAll(/^export (\w+)=(.*)$/gm)
  return Object.fromEntries([...lines].map((match) => [match[1]!, match[2]!]))
}

export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => done(port))
    })
  })
}

/** The rows of a table as the OpenStack clients draw it, by their first column. */
export function rows(table: string): Map<string, string[]> {
  const cells = table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
  return new Map(cells.slice(1).map((row) => [row[0]!, row.slice(1)]))
}

/** Asks every 100 ms until the answer is there. @throws Error after `timeoutMs` */
export async function eventually<T>(what: string, timeoutMs: number, look: () => Promise<T | null | undefined | false>): Promise<T> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((done) => setTimeout(done, 100))
  }
}
