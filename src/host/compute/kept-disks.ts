import { constants } from 'node:fs'
import { copyFile, rename, rm, stat } from 'node:fs/promises'
import { spaceFault } from './no-space.ts'
import type { World } from './world.ts'

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A resize goes on with the same data and so on a copy; rebuild and rescue begin with a new disk, and the old one only steps aside. */
const GOES_ON = 'resize'

export async function keepDisk({ places, options }: World, { uuid, name }: { uuid: string; name: string }): Promise<{ kept: boolean }> {
  const [disk, kept] = [places.disk(uuid), places.keptDisk(uuid, name)]
  if (await isThere(kept)) return { kept: true }
  if (!(await isThere(disk))) return { kept: false }
  if (name === GOES_ON)
    try {
      // shares the blocks where the file system can
      await copyFile(disk, `${kept}.part`, constants.COPYFILE_FICLONE)
      await rename(`${kept}.part`, kept)
    } catch (error) {
      await rm(`${kept}.part`, { force: true })
      throw spaceFault(error, options.host, places.directory, `a copy of the disk of server ${uuid}`)
    }
  else await rename(disk, kept)
  return { kept: true }
}

export async function restoreDisk({ places }: World, { uuid, name }: { uuid: string; name: string }): Promise<void> {
  const kept = places.keptDisk(uuid, name)
  if (await isThere(kept)) await rename(kept, places.disk(uuid))
}

export async function dropDisk({ places }: World, { uuid, name }: { uuid: string; name: string }): Promise<void> {
  await rm(places.keptDisk(uuid, name), { force: true })
}
