import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createControl } from '../cloud/control.ts'
import { loadSecrets } from '../cloud/secrets.ts'
import { readSettings } from '../cloud/settings.ts'
import { MemoryBus } from '../kernel/bus/memory.ts'
import type { Route } from '../kernel/http/route.ts'
import type { Api } from '../kernel/http/server.ts'
import { silent } from '../kernel/log/log.ts'

/** Prints the routes of all services as Markdown: they are data, so the list cannot be wrong. */
export async function run(argv: string[]): Promise<number> {
  if (argv.length > 0) {
    console.log('Every route of every service.\n\nUsage: npx yun api-coverage > docs/api-coverage.md')
    return argv.includes('--help') || argv.includes('-h') ? 0 : 2
  }
  console.log(await apiCoverage())
  return 0
}

export async function apiCoverage(): Promise<string> {
  const stateDir = mkdtempSync(join(tmpdir(), 'yun-routes-'))
  try {
    const { settings } = readSettings(['--state', stateDir, '--hypervisor', 'simulated'], 'node')
    const control = await createControl({ settings, secrets: loadSecrets(stateDir), bus: new MemoryBus(), log: silent(), url: '' })
    const text = page(control.server.apis)
    await control.stop()
    return text
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

function page(all: Api[]): string {
  const apis = all.filter(({ prefix }) => prefix !== '/compute/v2') // the first microversion of /compute/v2.1 under its old address
  const total = apis.reduce((sum, api) => sum + api.routes.length, 0)
  const parts = apis.map((api) => {
    const versions = api.microversions ? `, microversions ${api.microversions.min} to ${api.microversions.max}` : ''
    const rows = api.routes.map((route) => `| ${address(route)} | ${route.doc} | ${policyOf(route)} | ${since(route)} |`)
    return `## ${api.name} at \`${api.prefix}\`\n\n${rows.length} routes${versions}.\n\n| route | does | policy rule | microversions |\n|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# The routes\n\nMade from the routes themselves by \`npx yun api-coverage > docs/api-coverage.md\`: ${total} of them.\n\n${parts.join('\n')}`.trimEnd()
}

const address = (route: Route) => `\`${route.method} ${route.path}\`${route.action ? ` \`{"${route.action}": …}\`` : ''}`
const policyOf = (route: Route) => (typeof route.policy === 'string' ? `\`${route.policy}\`` : `open: ${route.policy.open}`)
const since = ({ microversions = {} }: Route) =>
  [microversions.min && `from ${microversions.min}`, microversions.max && `to ${microversions.max}`].filter(Boolean).join(' ') || ''
