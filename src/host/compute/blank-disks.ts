import { access } from 'node:fs/promises'
import type { InstanceSpec } from '../../compute/rpc.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { spaceFault } from './no-space.ts'
import type { World } from './world.ts'

/** The disks that a flavor brings beside the root: empty ones, for the guest to format; `rootBytes`: the root as well, for one that comes whole. */
export async function ensureBlankDisks(
  { machine: { qemuImg }, places, options }: World,
  { uuid, flavor }: InstanceSpec,
  rootBytes = 0,
): Promise<void> {
  const wanted: [path: string, bytes: number][] = [
    [places.disk(uuid), rootBytes],
    [places.ephemeral(uuid), flavor.ephemeralGiB * GiB],
    [places.swap(uuid), flavor.swapMiB * MiB],
  ]
  for (const [path, bytes] of wanted) {
    if (bytes === 0) continue
    const there = await access(path).then(
      () => true,
      () => false,
    )
    if (there) continue
    try {
      await qemuImg.create({ path, format: 'qcow2' }, bytes)
    } catch (error) {
      throw spaceFault(error, options.host, places.directory, `the disks of server ${uuid}`)
    }
  }
}
