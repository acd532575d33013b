import { readdir, rm } from 'node:fs/promises'
import { spaceFault } from './no-space.ts'
import { makePassable } from './passable.ts'
import { isUuid } from './places.ts'
import { removeSecrets } from './volume-secrets.ts'
import type { World } from './world.ts'

/** Step 25. */
export async function prepareDirectory({ places, options }: World, uuid: string): Promise<{ path: string }> {
  const path = places.instance(uuid)
  try {
    await makePassable(path)
  } catch (error) {
    throw spaceFault(error, options.host, places.directory, `the directory of server ${uuid}`)
  }
  return { path }
}

/** With all that is in it: disks, console log, half-made pictures. */
export async function removeDirectory(world: World, uuid: string): Promise<void> {
  await removeSecrets(world.machine.libvirt, uuid)
  await rm(world.places.instance(uuid), { recursive: true, force: true })
}

export async function instanceDirectories({ places }: Pick<World, 'places'>): Promise<string[]> {
  return (await readdir(places.directory)).filter(isUuid)
}
