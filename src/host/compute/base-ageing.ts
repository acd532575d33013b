import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { allDirectories } from './instance-directory.ts'
import { backingOf } from './root-disk.ts'
import type { World } from './world.ts'

/** ms that a base stays after nobody wanted it any more, as Nova keeps them. */
const UNWANTED_MS = 24 * 3_600_000

/** Removes base images that no disk stands on and nobody has asked for in a day. @returns what was removed */
export async function removeOldBases(world: Pick<World, 'places'>, now = Date.now()): Promise<string[]> {
  const { places } = world
  const old: string[] = []
  for (const name of await readdir(places.bases).catch(() => [])) {
    const path = join(places.bases, name)
    const found = await stat(path).catch(() => undefined)
    if (found && now - found.mtimeMs > UNWANTED_MS) old.push(path)
  }
  if (old.length === 0) return []
  const used = await basesInUse(world)
  const unused = old.filter((path) => !used.has(path))
  for (const path of unused) await rm(path, { force: true })
  return unused.map((path) => `${path} removed: no server stands on it`)
}

/** Under every disk, those kept aside and those being pictured included. */
async function basesInUse(world: Pick<World, 'places'>): Promise<Set<string>> {
  const used = new Set<string>()
  for (const uuid of await allDirectories(world)) {
    const directory = world.places.instance(uuid)
    for (const name of await readdir(directory).catch(() => [])) {
      const backing = name.startsWith('disk') ? await backingOf(join(directory, name)) : undefined
      if (backing) used.add(backing)
    }
  }
  return used
}
