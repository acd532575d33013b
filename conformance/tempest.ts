import { execFile, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

/** One thing that tempest reports: a test, or `setUpClass (…)` where a whole class failed or was skipped. */
export interface Reported {
  id: string
  status: 'success' | 'fail' | 'skip' | 'xfail' | 'uxsuccess' | 'inprogress'
  seconds: number
  /** Why it was skipped. */
  reason: string
  traceback: string
}

/** s that one test may take. */
const PATIENCE = 900
const RESULTS = join(import.meta.dirname, 'results.py')
/** Debian's, to which the package belongs, whatever else is called python3. */
const PYTHON = '/usr/bin/python3'

/** A directory from which tempest runs: its configuration, its log, its results. */
export class Tempest {
  private readonly dir: string
  private readonly env: NodeJS.ProcessEnv
  /** Put before tempest when it runs tests: how it gets to where guests are reached. */
  enter: string[] = []

  constructor(dir: string) {
    this.dir = dir
    mkdirSync(dir, { recursive: true })
    this.env = { ...process.env, OS_TEST_TIMEOUT: String(PATIENCE), TEMPEST_CONFIG_DIR: dir }
    writeFileSync(
      join(dir, '.stestr.conf'),
      '[DEFAULT]\ntest_path=/usr/lib/python3/dist-packages/tempest/test_discover\ntop_dir=/usr/lib/python3/dist-packages\ngroup_regex=([^\\.]*\\.)*\n',
    )
  }

  configure(text: string): void {
    writeFileSync(join(this.dir, 'tempest.conf'), text, { mode: 0o600 })
  }

  /** The ids of all tests there are. @throws Error with what tempest said */
  async list(): Promise<string[]> {
    await this.exec('stestr', 'init')
    const { stdout } = await this.exec('tempest', 'run', '--list-tests')
    return stdout.split('\n').filter((line) => line.startsWith('tempest.'))
  }

  /** Runs these tests, `concurrency` at a time, and tells of each when it has ended. @throws Error when tempest itself fails, or `stop` says so */
  async run(ids: string[], concurrency: number, stop: AbortSignal, tell: (reported: Reported) => void): Promise<void> {
    const list = join(this.dir, 'tests.txt')
    writeFileSync(list, `${ids.join('\n')}\n`)
    const options = { cwd: this.dir, env: this.env }
    const [program, ...args] = [...this.enter, 'tempest', 'run', '--subunit', '--load-list', list, '--concurrency', String(concurrency)]
    const tempest = spawn(program!, args, {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const end = () => process.kill(-tempest.pid!, 'SIGTERM') // its workers, too
    stop.addEventListener('abort', end, { once: true })
    let said = ''
    tempest.stderr.on('data', (chunk) => (said += chunk))
    const results = spawn(PYTHON, [RESULTS], { ...options, stdio: ['pipe', 'pipe', 'inherit'] })
    tempest.stdout.pipe(results.stdin)
    let count = 0
    for await (const line of createInterface({ input: results.stdout })) {
      count++
      tell(JSON.parse(line))
    }
    stop.removeEventListener('abort', end)
    stop.throwIfAborted()
    if (count === 0) throw new Error(`tempest ran nothing:\n${said}`)
  }

  private exec(program: string, ...args: string[]) {
    return promisify(execFile)(program, args, { cwd: this.dir, env: this.env, maxBuffer: 64 << 20 })
  }
}
