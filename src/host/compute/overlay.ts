import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { OwnDisk } from '../../drivers/qemu-img/driver.ts'
import { inspectImage } from '../../drivers/qemu-img/inspect.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { isHeldElsewhere } from './instance-directory.ts'
import { spaceFault } from './no-space.ts'
import { unless } from './power-states.ts'
import type { World } from './world.ts'

interface Wanted {
  uuid: string
  basePath: string
  baseFormat: string
}

/** Step 27. A disk that is there on the same base stays: a guest may run on it already. */
export async function createOverlay({ machine: { qemuImg }, places, options }: World, { uuid, basePath, baseFormat }: Wanted) {
  if (dirname(basePath) !== places.bases || !['raw', 'qcow2'].includes(baseFormat))
    throw badRequest(`${basePath} (${baseFormat}) is no base image of host ${options.host}.`, 'BadBase')
  const path = places.disk(uuid)
  const there = await stands(path, qemuImg)
  if (there !== basePath)
    try {
      await qemuImg.createOverlay(path, { path: basePath, format: baseFormat as OwnDisk['format'] })
    } catch (error) {
      throw spaceFault(error, options.host, places.directory, `the disk of server ${uuid}`)
    }
  return { path, backingFile: basePath, virtualSizeBytes: (await inspectImage(path)).virtualSizeBytes }
}

async function stands(path: string, qemuImg: World['machine']['qemuImg']): Promise<string | null | undefined> {
  if (!(await unless(['ImageNotFound'], inspectImage(path)))) return undefined
  return (await qemuImg.info({ path, format: 'qcow2' })).backingFile
}

export async function removeDisk(world: World, uuid: string): Promise<void> {
  const { machine, places } = world
  await machine.guestFiles.release(places.disk(uuid))
  if (await isHeldElsewhere(world, uuid)) return
  await rm(places.disk(uuid), { force: true })
}
