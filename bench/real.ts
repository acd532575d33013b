import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { buildTinyGuest } from '../src/guest/build-tiny.ts'

/** A real guest, on a machine of its own inside this one, so that nothing of the machine's is touched. */
export async function real(): Promise<void> {
  if (process.getuid?.() !== 0) return console.log(' real guest                               skipped: it needs root')
  await buildTinyGuest() // a machine of its own has no way to Debian's packages
  const isolated = resolve(import.meta.dirname, '../src/host/machine/isolated.ts')
  const inside = resolve(import.meta.dirname, 'real-inside.ts')
  const node = [process.execPath, '--disable-warning=ExperimentalWarning']
  const { status } = spawnSync(node[0]!, [node[1]!, isolated, '--', ...node, inside], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`the bench of the real guest ended with ${status}`)
}
