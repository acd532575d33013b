import { cpus, totalmem } from 'node:os'
import { showBytes } from '../src/kernel/units/units.ts'
import { api } from './api.ts'
import { real } from './real.ts'
import { type Report, report } from './report.ts'
import { scale } from './scale.ts'

const BENCHES: Record<string, (report: Report) => Promise<void>> = { api, real, scale }

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in BENCHES))
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(', ')}; there are: ${Object.keys(BENCHES).join(', ')}`)
  process.exit(2)
}
console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, ${showBytes(totalmem())}\n`)
for (const name of asked.length > 0 ? asked : Object.keys(BENCHES)) await BENCHES[name]!(report)
