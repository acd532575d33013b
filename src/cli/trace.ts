import { notFound } from '../kernel/errors/errors.ts'
import { adminApi, stateArgs } from './session.ts'
import { line, screenOf, type TraceStep } from './steps-view.ts'

const HELP = `The fifty steps of one server: when, how long, and what a user can look at.

Usage: npx yun trace SERVER [STEP] [--state DIR] [--json]

  SERVER   name or id
  STEP     show everything known of this step: commands and their output, rows, messages
`

export async function run(argv: string[]): Promise<number> {
  const { stateDir, positionals, json, help } = stateArgs(argv)
  const [server, step] = positionals
  if (help || !server) {
    console.log(HELP)
    return help ? 0 : 2
  }
  const api = await adminApi(stateDir)
  const { servers } = await api.get('/compute/v2.1/servers?all_tenants=1')
  const found = servers.filter((one: any) => one.id === server || one.name === server)
  if (found.length === 0) throw notFound(`no server ${server}`)
  if (found.length > 1)
    throw notFound(`${found.length} servers are called ${server}; say which by its id: ${found.map((one: any) => one.id).join(', ')}`)
  const { trace } = await api.get(`/compute/v2.1/servers/${found[0].id}/trace`)
  if (json) console.log(JSON.stringify(trace, null, 2))
  else if (step) one(trace.steps, Number(step))
  else whole(trace.steps)
  return 0
}

function whole(steps: TraceStep[]): void {
  const screen = screenOf(process.stdout)
  let chapter = ''
  for (const row of steps) {
    const shown = row.chapter === chapter ? '' : row.chapter
    chapter = row.chapter
    console.log(line(row, shown, screen, undefined, row.status === 'not happened' ? 'not happened' : undefined))
  }
  console.log(`\n ${steps.filter((row) => row.status === 'done').length} of ${steps.length} steps happened`)
}

function one(steps: (TraceStep & { commands?: { what: string; ms: number; output?: string }[] })[], number: number): void {
  const row = steps.find((candidate) => candidate.step === number)
  if (!row) throw notFound(`no step ${number}: there are 1 to ${steps.length}`)
  console.log(line(row, row.chapter, screenOf(process.stdout)))
  if (row.started_at) console.log(`   at ${row.started_at}`)
  for (const [name, value] of Object.entries(row.evidence ?? {}))
    if (name !== 'text') console.log(`   ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  for (const command of row.commands ?? []) {
    console.log(`   $ ${command.what}   (${command.ms.toFixed(1)} ms)`)
    if (command.output)
      console.log(
        command.output
          .split('\n')
          .map((text) => `       ${text}`)
          .join('\n'),
      )
  }
}
