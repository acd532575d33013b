import type { Reported } from './tempest.ts'
import { classOf, nameOf } from './tests.ts'

export type Status = 'passed' | 'failed' | 'skipped'

export interface Outcome {
  status: Status
  /** One line; empty for what passed. */
  why: string
}

/** What became of each test in `names`: a class that fails or is skipped takes its tests with it, and a test that nobody spoke of has failed. */
export function outcomes(names: string[], reported: Reported[]): Map<string, Outcome> {
  const tests = new Map<string, Outcome>()
  const classes = new Map<string, Outcome>()
  for (const one of reported) {
    const outcome = outcomeOf(one)
    const whole = /^(?:setUpClass|tearDownClass) \((.*)\)$/.exec(one.id)?.[1]
    if (!whole) tests.set(nameOf(one.id), outcome)
    else if (outcome.status !== 'passed') classes.set(whole, outcome)
  }
  return new Map(
    names.map((name) => [
      name,
      tests.get(name) ?? classes.get(classOf(name)) ?? { status: 'failed', why: 'tempest did not tell what became of it' },
    ]),
  )
}

export function outcomeOf(reported: Reported): Outcome {
  if (reported.status === 'success' || reported.status === 'xfail') return { status: 'passed', why: '' }
  if (reported.status === 'skip') return { status: 'skipped', why: oneLine(reported.reason) }
  return { status: 'failed', why: reasonOf(reported.traceback) || `ended as ${reported.status}` }
}

/** The exception of a Python traceback, in one line. Of several the first: what went wrong while tidying up follows from it. */
export function reasonOf(traceback: string): string {
  const lines = traceback.split('\n')
  const at = lines.findIndex((line) =>
    /^[A-Za-z_][\w.]*(?:Error|Exception|Failure|Mismatch\w*|[\w.]+): |^(?:tempest|testtools|paramiko)\.[\w.]+(?:: |$)/.test(line),
  )
  if (at < 0) return oneLine(lines.filter((line) => line.trim()).at(-1) ?? '')
  const rest = lines.slice(at)
  const end = rest.findIndex((line, i) => i > 0 && /^(Traceback|During handling|The above exception|\s{2}File )/.test(line))
  return oneLine(rest.slice(0, end < 0 ? 6 : Math.min(end, 6)).join(' '))
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b/g

/** Ids are other ones each time: they would only hide that a reason is the same. */
const oneLine = (text: string) => {
  const line = text.replace(/\s+/g, ' ').replaceAll(UUID, '…').trim()
  return line.length > 240 ? `${line.slice(0, 239)}…` : line
}
