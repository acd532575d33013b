import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { badRequest, unavailable } from '../../kernel/errors/errors.ts'
import { ExecError, exec } from '../../kernel/exec/exec.ts'
import type { Flow, Flows } from './driver.ts'
import { cookieText, noBridge, oneLine, parseFlow, portName } from './words.ts'

/** Flows through ovs-ofctl, whose bundles are transactions of the switch. */
export class OfctlFlows implements Flows {
  private readonly rundir: string

  constructor(rundir: string) {
    this.rundir = rundir
  }

  async replaceFlows(bridge: string, cookie: number | bigint, flows: string[]): Promise<{ added: number; removed: number }> {
    const mark = cookieText(cookie)
    const directory = mkdtempSync(join(tmpdir(), 'flows-'))
    try {
      const file = join(directory, 'wanted')
      writeFileSync(file, flows.map((flow) => `cookie=${mark},${oneLine(flow)}\n`).join(''), { mode: 0o600 })
      const differences = (await this.ofctl(bridge, ['diff-flows', portName(bridge), file], { ok: [0, 2] })).split('\n')
      const added = differences.filter((line) => line.startsWith('+')).map((line) => line.slice(1))
      const has = new Set(added.map(identity))
      const removed = differences
        .filter((line) => line.startsWith('-') && line.includes(` cookie=${mark} `))
        .map((line) => identity(line.slice(1)))
        .filter((flow) => !has.has(flow))
      await this.bundle(bridge, [
        ...removed.map((flow) => `flow delete_strict ${flow} cookie=${mark}/-1`),
        ...added.map((flow) => `flow add ${flow}`),
      ])
      return { added: added.length, removed: removed.length }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }

  async addFlows(bridge: string, flows: string[]): Promise<void> {
    await this.bundle(
      bridge,
      flows.map((flow) => `flow add ${oneLine(flow)}`),
    )
  }

  async deleteFlows(bridge: string, match: string): Promise<void> {
    await this.bundle(bridge, [`flow delete ${oneLine(match)}`])
  }

  async dumpFlows(bridge: string): Promise<Flow[]> {
    const dump = await this.ofctl(bridge, ['--no-names', 'dump-flows', portName(bridge)])
    return dump
      .split('\n')
      .flatMap((line) => parseFlow(line) ?? [])
      .map(({ timeouts: _, ...flow }) => flow)
      .sort((a, b) => a.table - b.table || b.priority - a.priority)
  }

  private async bundle(bridge: string, commands: string[]): Promise<void> {
    if (commands.length > 0) await this.ofctl(bridge, ['bundle', portName(bridge), '-'], { input: `${commands.join('\n')}\n` })
  }

  private async ofctl(bridge: string, args: string[], options: { input?: string; ok?: number[] } = {}): Promise<string> {
    try {
      return (await exec('ovs-ofctl', args, { ...options, env: { OVS_RUNDIR: this.rundir }, timeoutMs: 30_000 })).stdout
    } catch (error) {
      if (!(error instanceof ExecError) || error.exitCode === null) throw error
      if (error.stderr.includes('is not a bridge or a socket')) throw noBridge(bridge)
      if (/failed to connect|Connection (refused|reset)|connection failed/.test(error.stderr)) {
        throw unavailable(
          `ovs-vswitchd does not answer for ${bridge}: ${error.stderr.trim()}; check that it runs (\`ovs-appctl version\`)`,
          'OvsUnavailable',
          error,
        )
      }
      throw badRequest(
        `the switch refuses the flows for ${bridge}: ${error.stderr.trim().replaceAll(/^ovs-ofctl: |^\S*:(?=\d+:)/gm, '')}`,
        'BadFlow',
      )
    }
  }
}

/** Of a line of diff-flows, what tells the flow from others: table, priority, match. Without a table it would be strict about nothing but the rest. */
function identity(line: string): string {
  const flow = line.slice(0, line.indexOf(' cookie=')).trim()
  return flow.startsWith('table=') ? flow : `table=0 ${flow}`
}
