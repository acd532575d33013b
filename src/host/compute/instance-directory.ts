import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { spaceFault } from './no-space.ts'
import { makePassable } from './passable.ts'
import { isUuid } from './places.ts'
import { removeSecrets } from './volume-secrets.ts'
import type { World } from './world.ts'

/**
 * Step 25. Where hosts share their storage one directory is that of several of them while a server moves: each holder has a file of its name in it, and the rest
 * goes with the last one.
 */
export async function prepareDirectory({ places, options }: World, uuid: string): Promise<{ path: string }> {
  const path = places.instance(uuid)
  try {
    await makePassable(path)
    await mkdir(places.holders(uuid), { recursive: true, mode: 0o700 })
    await writeFile(places.holder(uuid, options.host), '')
  } catch (error) {
    throw spaceFault(error, options.host, places.directory, `the directory of server ${uuid}`)
  }
  return { path }
}

/** With all that is in it (disks, console log, half-made pictures), unless another host holds it, too. */
export async function removeDirectory(world: World, uuid: string): Promise<void> {
  await removeSecrets(world.machine.libvirt, uuid)
  const { places, options } = world
  if (await isHeldElsewhere(world, uuid)) return await rm(places.holder(uuid, options.host), { force: true })
  for (const path of [places.instance(uuid), places.holders(uuid)]) await rm(path, { recursive: true, force: true })
}

/** Whether what is in a server's directory is needed by another host: a step that is taken back there leaves it. */
export async function isHeldElsewhere({ places, options }: World, uuid: string): Promise<boolean> {
  return (await holdersOf(places, uuid)).some((name) => name !== options.host)
}

/** Of the servers that this host holds something of. */
export async function instanceDirectories({ places, options }: Pick<World, 'places' | 'options'>): Promise<string[]> {
  const all = await allDirectories({ places })
  const held = await Promise.all(all.map((uuid) => holdersOf(places, uuid)))
  return all.filter((_uuid, i) => held[i]!.length === 0 || held[i]!.includes(options.host))
}

/** Those of other hosts included, where the storage is shared. */
export async function allDirectories({ places }: Pick<World, 'places'>): Promise<string[]> {
  return (await readdir(places.directory)).filter(isUuid)
}

const holdersOf = (places: World['places'], uuid: string): Promise<string[]> => readdir(places.holders(uuid)).catch(() => [])

/** For a moment a mark lies in this host's directory of servers: another host that finds it shares the storage. */
export async function leaveMark({ places }: World, uuid: string): Promise<void> {
  await mkdir(places.mark(uuid), { recursive: true })
}

export async function removeMark({ places }: World, uuid: string): Promise<void> {
  await rmdir(places.mark(uuid)).catch((error) => {
    if (error.code !== 'ENOENT') throw error
  })
}

export async function findMark({ places }: World, uuid: string): Promise<{ directory: string; found: boolean }> {
  const found = (await readdir(places.directory)).includes(basename(places.mark(uuid)))
  return { directory: places.directory, found }
}
