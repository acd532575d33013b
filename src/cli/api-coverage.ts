import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createControl } from '../cloud/control.ts'
import { loadSecrets } from '../cloud/secrets.ts'
import { readSettings } from '../cloud/settings.ts'
import { version } from '../cloud/version.ts'
import { MemoryBus } from '../kernel/bus/memory.ts'
import type { Api } from '../kernel/http/api.ts'
import { openApi } from '../kernel/http/openapi.ts'
import type { Route } from '../kernel/http/route.ts'
import { silent } from '../kernel/log/log.ts'
import { QUERIES } from './queries/lists.ts'

const HELP = `Every route of every service.

Usage: npx yun api-coverage        prints them as Markdown
       npx yun api-coverage docs   writes docs/api-coverage.md, and each service in OpenAPI to docs/openapi/`

/** Writes what the routes of all services say of themselves: they are data, so it cannot be wrong. */
export async function run(argv: string[]): Promise<number> {
  const [directory] = argv
  if (argv.length > 1 || directory?.startsWith('-')) {
    console.log(HELP)
    return directory === '--help' || directory === '-h' ? 0 : 2
  }
  const files = await routeDocuments()
  if (directory === undefined) console.log(files['api-coverage.md'])
  else
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(join(directory, file, '..'), { recursive: true })
      writeFileSync(join(directory, file), text)
    }
  return 0
}

/** File below docs/ → its text. */
export async function routeDocuments(): Promise<Record<string, string>> {
  const stateDir = mkdtempSync(join(tmpdir(), 'yun-routes-'))
  try {
    const { settings } = readSettings(['--state', stateDir, '--hypervisor', 'simulated'], 'node')
    const control = await createControl({ settings, secrets: loadSecrets(stateDir), bus: new MemoryBus(), log: silent(), url: '' })
    const apis = control.server.apis.filter((api) => api.alias === undefined)
    await control.stop()
    const services = [...Map.groupBy(apis, (api) => api.name)].map(([name, own]) => [
      `openapi/${name}.json`,
      openApiText(openApi(own, version)),
    ])
    return { 'api-coverage.md': page(apis), ...Object.fromEntries(services) }
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

/** One line for each operation and each shared schema: small, and a change shows where it is. */
export function openApiText(document: unknown, deep = 4): string {
  if (deep === 0 || typeof document !== 'object' || document === null || Array.isArray(document)) return JSON.stringify(document)
  const inside = Object.entries(document).map(([key, value]) => `${JSON.stringify(key)}:${openApiText(value, deep - 1)}`)
  return `{\n${inside.join(',\n')}\n}${deep === 4 ? '\n' : ''}`
}

function page(apis: Api[]): string {
  const total = apis.reduce((sum, api) => sum + api.routes.length, 0)
  const parts = apis.map((api) => {
    const versions = api.microversions ? `, microversions ${api.microversions.min} to ${api.microversions.max}` : ''
    const rows = api.routes.map(
      (route) =>
        `| ${address(route)} | ${route.doc} | ${policyOf(route)} | ${since(route)} | ${QUERIES[`${route.method} ${api.prefix}${route.path}`] ?? ''} |`,
    )
    return `## ${api.name} at \`${api.prefix}\`\n\n${rows.length} routes${versions}.\n\n| route | does | policy rule | microversions | queries |\n|---|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# The routes\n\nMade from the routes themselves by \`npx yun api-coverage docs\`: ${total} of them. In OpenAPI, with their shapes: [openapi/](openapi/).\n\nQueries: how many a list makes at most, in all services together, whatever its length; a test counts them.\n\n${parts.join('\n')}`
}

const address = (route: Route) => `\`${route.method} ${route.path}\`${route.action ? ` \`{"${route.action}": …}\`` : ''}`
const policyOf = (route: Route) => (typeof route.policy === 'string' ? `\`${route.policy}\`` : `open: ${route.policy.open}`)
const since = ({ microversions = {} }: Route) =>
  [microversions.min && `from ${microversions.min}`, microversions.max && `to ${microversions.max}`].filter(Boolean).join(' ') || ''
