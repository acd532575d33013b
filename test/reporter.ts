import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'

/** Says what failed and why, and leaves the counts in the file that YUN_TEST_COUNTS names. */
export default async function* reporter(source: AsyncIterable<{ type: string; data: any }>) {
  let passed = 0
  let failed = 0
  let skipped = 0
  for await (const { type, data } of source) {
    if (type === 'test:stdout' || type === 'test:stderr') {
      if (process.env.YUN_TEST_VERBOSE) yield data.message
      continue
    }
    if (type === 'test:pass' && data.details?.type !== 'suite') {
      if (data.skip) skipped++
      else passed++
      if (process.env.YUN_TEST_VERBOSE) yield `    ✔ ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`
    }
    if (type === 'test:fail' && data.details?.type !== 'suite' && data.details?.error?.failureType !== 'subtestsFailed') {
      failed++
      const error = data.details.error
      yield `    ✖ ${data.file ? relative(process.cwd(), data.file) : ''}: ${data.name}\n${reasons(error?.cause ?? error)
        .map(indent)
        .join('\n')}\n`
    }
  }
  if (process.env.YUN_TEST_COUNTS) writeFileSync(process.env.YUN_TEST_COUNTS, JSON.stringify({ passed, failed, skipped }))
}

/** What was thrown and what that came of, the last first: a property that failed says below what its test saw. */
function reasons(error: any): string[] {
  const own = error?.stack ?? error?.message ?? String(error)
  return error?.cause ? [...reasons(error.cause), own] : [own]
}

const indent = (text: string) =>
  text
    .split('\n')
    .slice(0, 25)
    .map((line) => `        ${line}`)
    .join('\n')
