import { createReadStream } from 'node:fs'
import { conflict, notFound } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { copyDevice, readRaw, writeRaw } from '../volume-backend/convert.ts'
import { copyName, readName, snapshotName, type VolumeBackend, volumeName } from '../volume-backend/driver.ts'
import { groupSpace, type LogicalVolume, logicalVolumes, lvm, mapperPath } from './commands.ts'

const POOL = 'pool'
/** Of a volume in use that is being copied: holds still what the copy reads. */
const sourceName = (id: string) => copyName(id).replace('copy', '_source')
/** ms that writing a whole device may take: an hour. */
const LONG = 3_600_000

/**
 * Volumes as logical volumes of one volume group: linear ones, whose space is theirs and is zeroed when they go, or thin ones in the pool `pool`.
 * @throws Fault when there is no such volume group, or no thin pool in it
 */
export async function lvmBackend(group: string, options: { thin: boolean }): Promise<VolumeBackend> {
  const { thin } = options
  await lvm('vgchange', ['--activate', 'y', '--sysinit', group])
  if (thin) (await logicalVolumes(group)).find((one) => one.name === POOL) ?? missing(`${group}/${POOL}`)
  const of = (name: string) => `${group}/${name}`
  const device = (name: string) => `/dev/${group}/${name}`
  const find = async (name: string) => (await logicalVolumes(group)).find((one) => one.name === name)
  const need = async (name: string) => (await find(name)) ?? missing(of(name))

  const make = async (name: string, sizeGiB: number) => {
    const where = thin ? ['--virtualsize', `${sizeGiB}g`, '--thin', of(POOL)] : ['--wipesignatures', 'y', '--size', `${sizeGiB}g`, group]
    await lvm('lvcreate', ['--yes', '--name', name, ...where])
  }
  const snap = async (name: string, origin: string, room: string) => {
    const kind = thin ? ['--setactivationskip', 'n'] : ['--extents', room]
    await lvm('lvcreate', ['--yes', '--snapshot', '--name', name, ...kind, of(origin)])
  }
  const grow = async (volume: LogicalVolume, sizeGiB: number) => {
    if (volume.bytes < sizeGiB * GiB) await lvm('lvextend', ['--size', `${sizeGiB}g`, of(volume.name)])
  }
  const destroy = async (name: string) => {
    const all = await logicalVolumes(group)
    const found = all.find((one) => one.name === name)
    if (!found) return
    if (found.open) throw conflict(`${of(name)} is open: some program still uses it`, 'VolumeInUse')
    const held = thin ? undefined : all.find((one) => one.origin === name)
    if (held) throw conflict(`${of(name)} has the snapshot ${held.name}`, 'VolumeInUse')
    // what a snapshot keeps is always held by the snapshot itself: only force opens it
    const data = found.origin ? ['--force', mapperPath(group, name, 'cow')] : [device(name)]
    if (!thin) await exec('blkdiscard', ['--zeroout', ...data], { timeoutMs: LONG })
    await lvm('lvremove', ['--yes', '--force', of(name)])
  }
  /** Under another name until it is whole: a copy that was cut off is never taken for a volume. */
  const copy = async (id: string, sizeGiB: number, from: string) => {
    if (await find(volumeName(id))) return
    const source = await need(from)
    const part = copyName(id)
    try {
      await destroy(part)
      if (thin) {
        await snap(part, from, '')
        await grow(await need(part), sizeGiB)
      } else {
        await make(part, sizeGiB)
        await copyDevice(device(await still(id, source)), device(part))
      }
      await lvm('lvrename', [group, part, volumeName(id)])
    } catch (error) {
      await destroy(part)
      throw error
    } finally {
      await destroy(sourceName(id))
    }
  }
  const still = async (id: string, source: LogicalVolume): Promise<string> => {
    if (!source.open || source.origin) return source.name
    await snap(sourceName(id), source.name, '20%ORIGIN')
    return sourceName(id)
  }
  const list = async () =>
    (await logicalVolumes(group)).flatMap((one) => {
      const ours = readName(one.name.replace(/^_source-/, 'copy-'))
      return ours
        ? [{ ...ours, name: one.name, sizeGiB: Math.round((one.originBytes && !thin && one.origin ? one.originBytes : one.bytes) / GiB) }]
        : []
    })
  return {
    driver: thin ? 'lvm-thin' : 'lvm',
    thin,
    path: (id) => device(volumeName(id)),
    list,
    async space() {
      const provisionedGiB = (await list()).reduce((sum, one) => sum + one.sizeGiB, 0)
      const pool = thin ? await need(POOL) : null
      const { total, free } = pool ? { total: pool.bytes, free: pool.bytes * (1 - (pool.dataPercent ?? 0) / 100) } : await groupSpace(group)
      return { totalGiB: round(total), freeGiB: round(free), provisionedGiB }
    },
    async create(id, sizeGiB) {
      if (!(await find(volumeName(id)))) await make(volumeName(id), sizeGiB)
    },
    createFromSnapshot: (id, sizeGiB, snapshotId) => copy(id, sizeGiB, snapshotName(snapshotId)),
    createFromVolume: (id, sizeGiB, sourceId) => copy(id, sizeGiB, volumeName(sourceId)),
    async remove(id) {
      for (const name of [sourceName(id), copyName(id), volumeName(id)]) await destroy(name)
    },
    extend: async (id, sizeGiB) => grow(await need(volumeName(id)), sizeGiB),
    async createSnapshot(id, volumeId) {
      await need(volumeName(volumeId))
      // Room for every block of the origin and the table of them; LVM takes what is too much away.
      if (!(await find(snapshotName(id)))) await snap(snapshotName(id), volumeName(volumeId), '102%ORIGIN')
    },
    removeSnapshot: (id) => destroy(snapshotName(id)),
    async revert(volumeId, snapshotId) {
      const [volume, part] = [volumeName(volumeId), copyName(volumeId)]
      const now = await find(volume)
      if (thin) {
        if (now) {
          await destroy(part)
          await snap(part, snapshotName(snapshotId), '')
          await grow(await need(part), Math.round(now.bytes / GiB))
          await destroy(volume)
        } else await need(part)
        await lvm('lvrename', [group, part, volume])
        return
      }
      const snapshot = await need(snapshotName(snapshotId))
      await copyDevice(device(snapshot.name), device(volume))
      const then = snapshot.originBytes ?? snapshot.bytes
      const rest = (now ?? missing(of(volume))).bytes - then
      if (rest > 0) await exec('blkdiscard', ['--zeroout', '--offset', String(then), device(volume)], { timeoutMs: LONG })
    },
    fill: (id, image) => writeRaw(image, device(volumeName(id)), thin),
    async reimage(id, image) {
      const [volume, part] = [volumeName(id), copyName(id)]
      const now = await find(volume)
      if (!thin) {
        const { name } = now ?? missing(of(volume))
        await exec('blkdiscard', ['--zeroout', device(name)], { timeoutMs: LONG })
        return await writeRaw(image, device(name), true)
      }
      if (now) {
        await destroy(part)
        await make(part, Math.round(now.bytes / GiB))
        await writeRaw(image, device(part), true)
        await destroy(volume)
      } else await need(part) // cut off between the two, it was whole already
      await lvm('lvrename', [group, part, volume])
    },
    stream: (id) => createReadStream(device(volumeName(id)), { highWaterMark: MiB }),
    drain: (id, image) => readRaw(device(volumeName(id)), image),
  }
}

function missing(name: string): never {
  throw notFound(`the logical volume ${name} is not there`, 'NoSuchVolume')
}

/** GiB to two digits: a group loses some MiB to LVM's own records. */
const round = (bytes: number) => Math.floor((bytes / GiB) * 100) / 100
