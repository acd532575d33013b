import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Api } from '../src/cli/api.ts'
import { startCloud } from './cloud.ts'
import { configuration } from './configuration.ts'
import { layGround } from './ground.ts'
import { type Outcome, outcomeOf, outcomes } from './outcome.ts'
import { type Reported, Tempest } from './tempest.ts'
import { chosen, groupOf, nameOf } from './tests.ts'
import { startWebServer } from './web-server.ts'

export interface RunOptions {
  filters: string[]
  /** qcow2 of the guest, for a cloud with real guests; null: a simulated one. */
  imageFile: string | null
  /** Compute hosts. */
  hosts: number
  concurrency: number
  /** Where tempest's configuration, log and results are left, with the cloud's log; null: nowhere. */
  keep: string | null
  /** Ends the run, and the cloud. */
  stop?: AbortSignal
  say: (line: string, passed: boolean) => void
}

export interface Ran {
  /** All tests of the groups that this cloud has, whether they ran or not. */
  all: string[]
  found: Map<string, Outcome>
}

/** Starts a cloud, runs the tests that the filters choose against it, stops it. @throws Error when nothing is chosen or cloud or tempest do not start */
export async function run({
  filters,
  imageFile,
  hosts,
  concurrency,
  keep,
  stop = new AbortController().signal,
  say,
}: RunOptions): Promise<Ran> {
  const dir = keep ?? mkdtempSync(join(tmpdir(), 'yun-conformance-'))
  try {
    const tempest = new Tempest(dir)
    const all = (await tempest.list())
      .map(nameOf)
      .filter((name) => groupOf(name) !== null)
      .sort()
    const names = chosen(all, filters)
    if (names.length === 0) throw new Error(`no test is called ${filters.join(' or ')}`)
    const web = await startWebServer()
    const cloud = await startCloud({ dir, real: imageFile !== null, hosts, webServer: web.host }).catch(async (error) => {
      await web.stop()
      throw error
    })
    try {
      const { url, region, adminPassword } = cloud
      const ground = await layGround(new Api({ url, username: 'admin', password: adminPassword, project: 'admin' }), imageFile)
      const about = {
        authUrl: `${url}/identity/v3`,
        region,
        adminPassword,
        real: imageFile !== null,
        hosts,
        imageFile,
        webImage: web.image,
      }
      tempest.enter = cloud.enterAt(dir)
      tempest.configure(configuration(about, ground, dir))
      // what a test is called besides its name depends on the configuration
      const ids = new Map((await tempest.list()).map((id) => [nameOf(id), id]))
      const reported: Reported[] = []
      await tempest.run(
        names.flatMap((name) => ids.get(name) ?? []),
        concurrency,
        stop,
        (one) => {
          reported.push(one)
          say(line(one, reported.length), outcomeOf(one).status === 'passed')
        },
      )
      return { all, found: outcomes(names, reported) }
    } finally {
      if (keep) cloud.leaveLogs(keep)
      await cloud.stop()
      await web.stop()
    }
  } finally {
    if (!keep) rmSync(dir, { recursive: true, force: true })
  }
}

function line(reported: Reported, count: number): string {
  const { status, why } = outcomeOf(reported)
  return `${String(count).padStart(5)} ${status.padEnd(7)} ${nameOf(reported.id)} (${reported.seconds.toFixed(1)} s)${why ? `: ${why}` : ''}`
}
