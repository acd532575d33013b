import { access, rm } from 'node:fs/promises'
import { driveFiles } from '../../compute/instance-metadata.ts'
import type { InstanceSpec, Vif } from '../../compute/rpc.ts'
import { goesIntoDisk } from './injection.ts'
import { isHeldElsewhere } from './instance-directory.ts'
import { spaceFault } from './no-space.ts'
import type { World } from './world.ts'

interface Guest {
  instance: InstanceSpec
  vifs: Vif[]
}

const LABEL = 'config-2'

/** Step 29. Personality files come onto it with step 30; a drive from before (of a rebuilt server) goes. */
export async function buildConfigDrive(world: World, { instance, vifs }: Guest): Promise<{ path: string | null; bytes: number }> {
  if (instance.configDrive) return await writeDrive(world, { instance: { ...instance, files: [] }, vifs })
  const there = await access(world.places.configDrive(instance.uuid)).then(
    () => true,
    () => false,
  )
  if (there) await removeConfigDrive(world, instance.uuid)
  return { path: null, bytes: 0 }
}

/** Whether step 29 or 30 made one. */
export const hasConfigDrive = ({ options }: World, instance: InstanceSpec) =>
  instance.configDrive || (instance.files.length > 0 && !goesIntoDisk(options, instance))

export async function removeConfigDrive(world: World, uuid: string): Promise<void> {
  if (await isHeldElsewhere(world, uuid)) return
  await rm(world.places.configDrive(uuid), { force: true })
}

export async function writeDrive({ machine: { iso }, places, options }: World, guest: Guest): Promise<{ path: string; bytes: number }> {
  const path = places.configDrive(guest.instance.uuid)
  const files = new Map([...driveFiles(guest.instance, guest.vifs)].map(([name, content]) => [name, Buffer.from(content as string)]))
  try {
    return { path, bytes: await iso.create(path, { label: LABEL, files }) }
  } catch (error) {
    throw spaceFault(error, options.host, places.directory, `the config drive of server ${guest.instance.uuid}`)
  }
}
