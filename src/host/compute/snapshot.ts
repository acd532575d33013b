import { access, open, readdir, rm, stat } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { type Element, element, find, first, parseXml, printXml } from '../../drivers/libvirt/xml.ts'
import { badRequest, unavailable } from '../../kernel/errors/errors.ts'
import { instanceDirectories } from './instance-directory.ts'
import { spaceFault } from './no-space.ts'
import { DELTA } from './places.ts'
import { domainOf, isActive } from './power-states.ts'
import type { World } from './world.ts'

interface Picture {
  uuid: string
  imageId: string
}

const TARGET_JOB_MS = 600_000
const LOOK_MS = 20

/**
 * While a guest runs, QEMU holds its disk, and a copy made past that lock may be torn. So the guest writes into a file of its own for that time (it does not
 * stop for it), the disk below, which nobody changes now, is flattened, and then the guest's writes are put back into the disk.
 */
export async function takeSnapshot(world: World, { uuid, imageId }: Picture): Promise<{ bytes: number }> {
  const { options, places, machine } = world
  const image = await options.images.image(imageId)
  if (image.status === 'active') return { bytes: image.size ?? 0 }
  const [disk, picture] = [places.disk(uuid), places.picture(uuid, imageId)]
  await access(disk).catch(() => {
    throw badRequest(
      `Server ${uuid} has no disk on host ${options.host}: it boots from a volume, whose snapshots the volume service makes.`,
      'NoDisk',
    )
  })
  try {
    await still(world, { uuid, imageId }, () =>
      machine.qemuImg.convert({ path: disk, format: 'qcow2' }, { path: picture, format: 'qcow2' }),
    )
    await using file = await open(picture) // closed also when the upload is given up half-way
    await options.images.upload(imageId, file.createReadStream())
    return { bytes: (await stat(picture)).size }
  } catch (error) {
    throw spaceFault(error, options.host, places.directory, `the snapshot of server ${uuid}`)
  } finally {
    await rm(picture, { force: true })
  }
}

/** May be told at any time: the guest's writes are in its disk again, and nothing else is left. */
export async function discardSnapshot(world: World, { uuid, imageId }: Picture): Promise<void> {
  await mergeDelta(world, { uuid, imageId })
  await rm(world.places.picture(uuid, imageId), { force: true })
}

/** What a process that was killed while it copied has left. */
export async function mergeLeftDeltas(world: World): Promise<void> {
  for (const uuid of await instanceDirectories(world))
    for (const name of await readdir(world.places.instance(uuid)).catch(() => []))
      if (name.startsWith(DELTA)) await discardSnapshot(world, { uuid, imageId: name.slice(DELTA.length) })
}

async function still(world: World, picture: Picture, copy: () => Promise<void>): Promise<void> {
  const { libvirt } = world.machine
  await mergeDelta(world, picture)
  const domain = await domainOf(libvirt, picture.uuid)
  if (!domain || !isActive(domain)) return await copy()
  const target = await targetOf(world, picture.uuid, world.places.disk(picture.uuid))
  await libvirt.snapshotDisks(picture.uuid, await snapshotXml(world, picture, target!))
  try {
    await copy()
  } finally {
    await mergeDelta(world, picture)
  }
}

async function snapshotXml({ machine: { libvirt }, places }: World, { uuid, imageId }: Picture, target: string): Promise<string> {
  const targets = find(parseXml(await libvirt.domainXml(uuid)), 'devices', 'disk', 'target').map(({ attributes }) => attributes.dev!)
  const disks = targets.map((name) =>
    name === target
      ? element('disk', { name, snapshot: 'external' }, [
          element('driver', { type: 'qcow2' }),
          element('source', { file: places.delta(uuid, imageId) }),
        ])
      : element('disk', { name, snapshot: 'no' }),
  )
  return printXml(element('domainsnapshot', {}, [element('disks', {}, disks)]))
}

/** Puts what the guest wrote beside its disk back into it, whether it runs or has stopped meanwhile. */
async function mergeDelta(world: World, { uuid, imageId }: Picture): Promise<void> {
  const { machine, places } = world
  const delta = places.delta(uuid, imageId)
  const there = await access(delta).then(
    () => true,
    () => false,
  )
  if (!there) return
  const domain = await domainOf(machine.libvirt, uuid)
  const target = domain ? await targetOf(world, uuid, delta) : undefined
  if (domain && target) {
    if (isActive(domain)) await commitLive(world, uuid, target, delta)
    else await commitStopped(world, uuid, delta)
  }
  await rm(delta, { force: true })
}

async function commitLive(world: World, uuid: string, target: string, delta: string): Promise<void> {
  const { libvirt } = world.machine
  if (!(await libvirt.diskJob(uuid, target))) await libvirt.commitDisk(uuid, target)
  const end = performance.now() + TARGET_JOB_MS
  for (let pivoted = false; ; await pause(LOOK_MS)) {
    const domain = await domainOf(libvirt, uuid)
    if (!domain) return
    if (!isActive(domain)) return (await targetOf(world, uuid, delta)) ? await commitStopped(world, uuid, delta) : undefined
    if (!(await targetOf(world, uuid, delta))) return
    const job = await libvirt.diskJob(uuid, target)
    if (!pivoted && job && job.end > 0 && job.current === job.end) {
      // not ready yet by a hair: asked again at the next look
      pivoted = await libvirt.endDiskJob(uuid, target, { pivot: true }).then(
        () => true,
        () => false,
      )
      if (pivoted) continue
    }
    if (performance.now() > end)
      throw unavailable(
        `The disk of server ${uuid} did not come together again after its snapshot; its writes are in ${delta}.`,
        'SnapshotStuck',
      )
  }
}

async function commitStopped({ machine, places }: World, uuid: string, delta: string): Promise<void> {
  await machine.qemuImg.commit(delta)
  const definition = parseXml(await machine.libvirt.domainXml(uuid, { inactive: true }))
  const disk = find(definition, 'devices', 'disk').find(isAt(delta))
  if (!disk) return
  first(disk, 'source')!.attributes.file = places.disk(uuid)
  // libvirt noted the layers as they were with the delta on top
  disk.children = disk.children.filter(({ name }) => name !== 'backingStore')
  await machine.libvirt.defineDomain(printXml(definition))
}

const isAt =
  (path: string) =>
  (disk: Element): boolean =>
    first(disk, 'source')?.attributes.file === path

async function targetOf({ machine: { libvirt } }: World, uuid: string, path: string): Promise<string | undefined> {
  const disk = find(parseXml(await libvirt.domainXml(uuid)), 'devices', 'disk').find(isAt(path))
  return first(disk, 'target')?.attributes.dev
}
