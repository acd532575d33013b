import { mkdir, readdir, rm } from 'node:fs/promises'
import { spaceFault } from './no-space.ts'
import { isUuid } from './places.ts'
import { removeSecrets } from './volume-secrets.ts'
import type { World } from './world.ts'

/** Step 25. QEMU runs as a user of its own and must be able to pass; nobody else has anything to look for here. */
export async function prepareDirectory({ places, options }: World, uuid: string): Promise<{ path: string }> {
  const path = places.instance(uuid)
  try {
    await mkdir(path, { recursive: true, mode: 0o711 })
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
