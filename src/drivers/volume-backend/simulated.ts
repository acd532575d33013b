import { readFile, truncate, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { Fault, notFound } from '../../kernel/errors/errors.ts'
import { GiB } from '../../kernel/units/units.ts'
import { remembered } from '../remembered.ts'
import { snapshotName, type VolumeBackend, volumeName } from './driver.ts'

interface Disk {
  sizeGiB: number
  /** What was written, by offset; the rest is zeros. */
  bytes: Record<string, string>
}

interface State {
  volumes: Record<string, Disk>
  snapshots: Record<string, Disk>
}

export interface SimulatedBackend extends VolumeBackend {
  /** As a guest would. */
  write(volumeId: string, offset: number, text: string): void
  read(volumeId: string, offset: number, length: number): string
}

/** A back end without disks: sizes are kept, and of the data the first 4 KiB and the little that tests write; as a stream a volume is no longer than that. */
export function simulatedBackend(
  options: { file?: string; driver?: VolumeBackend['driver']; totalGiB?: number; thin?: boolean } = {},
): SimulatedBackend {
  const memory = remembered<State>(options.file, { volumes: {}, snapshots: {} })
  const { volumes, snapshots } = memory.state
  const totalGiB = options.totalGiB ?? 1000
  const thin = options.thin ?? false
  const used = () => Object.values(volumes).reduce((sum, disk) => sum + disk.sizeGiB, 0)
  const disk = (id: string) => volumes[id] ?? missing(volumeName(id))
  const snapshot = (id: string) => snapshots[id] ?? missing(snapshotName(id))
  const put = (id: string, sizeGiB: number, bytes: Record<string, string>) => {
    if (volumes[id]) return
    if (!thin && used() + sizeGiB > totalGiB)
      throw new Fault(507, 'NoSpace', `${sizeGiB} GiB are asked, ${totalGiB - used()} GiB of ${totalGiB} are free`)
    volumes[id] = { sizeGiB, bytes: { ...bytes } }
    memory.save()
  }
  const fill = async (id: string, image: { path: string }) => {
    disk(id).bytes = { 0: (await readFile(image.path)).subarray(0, 4096).toString('base64') }
    memory.save()
  }
  const text = ({ bytes }: Disk, offset: number, length: number) => {
    const result = Buffer.alloc(length)
    for (const [at, value] of Object.entries(bytes)) {
      const from = Number(at) - offset
      const data = Buffer.from(value, 'base64')
      if (from < length && from + data.length > 0) data.copy(result, Math.max(0, from), Math.max(0, -from))
    }
    return result.toString()
  }
  return {
    driver: options.driver ?? 'file',
    thin,
    async space() {
      const provisionedGiB = used() + Object.values(snapshots).reduce((sum, one) => sum + one.sizeGiB, 0)
      return { totalGiB, freeGiB: thin ? totalGiB : totalGiB - used(), provisionedGiB }
    },
    path: (id) => `/dev/simulated/${volumeName(id)}`,
    create: async (id, sizeGiB) => put(id, sizeGiB, {}),
    createFromSnapshot: async (id, sizeGiB, snapshotId) => put(id, sizeGiB, snapshot(snapshotId).bytes),
    createFromVolume: async (id, sizeGiB, sourceId) => put(id, sizeGiB, disk(sourceId).bytes),
    async remove(id) {
      delete volumes[id]
      memory.save()
    },
    async extend(id, sizeGiB) {
      disk(id).sizeGiB = Math.max(disk(id).sizeGiB, sizeGiB)
      memory.save()
    },
    async createSnapshot(id, volumeId) {
      snapshots[id] ??= structuredClone(disk(volumeId))
      memory.save()
    },
    async removeSnapshot(id) {
      delete snapshots[id]
      memory.save()
    },
    async revert(volumeId, snapshotId) {
      disk(volumeId).bytes = { ...snapshot(snapshotId).bytes }
      memory.save()
    },
    fill,
    reimage: (id, image) => fill(id, image),
    stream: (id) => Readable.from([Buffer.from(text(disk(id), 0, 4096))]),
    async drain(id, image) {
      await writeFile(image.path, text(disk(id), 0, 4096))
      if (image.format === 'raw') await truncate(image.path, disk(id).sizeGiB * GiB)
    },
    list: async () => [
      ...Object.entries(volumes).map(([id, { sizeGiB }]) => ({ kind: 'volume' as const, id, name: volumeName(id), sizeGiB })),
      ...Object.entries(snapshots).map(([id, { sizeGiB }]) => ({ kind: 'snapshot' as const, id, name: snapshotName(id), sizeGiB })),
    ],
    write(id, offset, value) {
      disk(id).bytes[offset] = Buffer.from(value).toString('base64')
      memory.save()
    },
    read: (id, offset, length) => text(disk(id), offset, length),
  }
}

function missing(name: string): never {
  throw notFound(`${name} is not there`, 'NoSuchVolume')
}
