import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { unavailable } from '../kernel/errors/errors.ts'

export interface KernelModule {
  /** With underscores, as `lsmod` shows it. */
  name: string
  path: string
  /** Names of the modules it needs, nearest first. */
  needs: string[]
}

const plain = (name: string) => name.replaceAll('-', '_')

/** The names after `depends=` in a module's own description section. */
export function dependencies(module: Uint8Array): string[] {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength)
  const at = bytes.indexOf('\0depends=')
  if (at < 0) return []
  const start = at + '\0depends='.length
  return bytes
    .toString('latin1', start, bytes.indexOf(0, start))
    .split(',')
    .filter((name) => name !== '')
    .map(plain)
}

/**
 * The named kernel modules and all that they need, in the order in which they must be loaded. Those built into the kernel are left out.
 * @param tree a kernel's module directory (`.../lib/modules/<version>`)
 */
export async function modulesInLoadOrder(tree: string, names: string[]): Promise<KernelModule[]> {
  const paths = new Map<string, string>()
  for (const file of await readdir(tree, { recursive: true }))
    if (file.endsWith('.ko')) paths.set(plain(basename(file, '.ko')), join(tree, file))
  const builtin = new Set(
    (await readFile(join(tree, 'modules.builtin'), 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map((line) => plain(basename(line, '.ko'))),
  )
  const ordered = new Map<string, KernelModule>()
  const visit = async (wanted: string, by: string): Promise<void> => {
    const name = plain(wanted)
    if (ordered.has(name) || builtin.has(name)) return
    const path = paths.get(name)
    if (!path) throw unavailable(`The kernel in ${tree} has no module ${name} (needed by ${by})`, 'GuestBuildFailed')
    const needs = dependencies(await readFile(path))
    for (const need of needs) await visit(need, name)
    ordered.set(name, { name, path, needs })
  }
  for (const name of names) await visit(name, 'the tiny guest')
  return [...ordered.values()]
}
