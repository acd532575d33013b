import type { Readable } from 'node:stream'
import { badRequest } from '../../kernel/errors/errors.ts'

/** Where volumes lie: what LVM, plain files and their twin have in common. Everything may be done twice; a size is GiB; an id is the volume's or snapshot's UUID. */
export interface VolumeBackend {
  readonly driver: 'lvm' | 'lvm-thin' | 'file'
  /** More may be promised than there is. */
  readonly thin: boolean

  space(): Promise<Space>
  /** Where the data is read and written: a device or a file. */
  path(volumeId: string): string

  /** @throws Fault 507 NoSpace */
  create(volumeId: string, sizeGiB: number): Promise<void>
  /** A copy with the snapshot's data, `sizeGiB` at least as large. */
  createFromSnapshot(volumeId: string, sizeGiB: number, snapshotId: string): Promise<void>
  createFromVolume(volumeId: string, sizeGiB: number, sourceId: string, hold?: Hold): Promise<void>
  /** An absent one is fine. @throws Fault 409 when it is in use or a snapshot needs it */
  remove(volumeId: string): Promise<void>
  /** To at least this size; never smaller. */
  extend(volumeId: string, sizeGiB: number): Promise<void>

  createSnapshot(snapshotId: string, volumeId: string, hold?: Hold): Promise<void>
  removeSnapshot(snapshotId: string): Promise<void>
  /** The volume is as it was then, and keeps its present size; the snapshot stays. */
  revert(volumeId: string, snapshotId: string): Promise<void>

  /** Writes an image file onto a fresh volume. */
  fill(volumeId: string, image: { path: string; format: string }): Promise<void>
  /** The volume holds the image and nothing of what it held; snapshots keep theirs. It keeps its size, and is in use nowhere. */
  reimage(volumeId: string, image: { path: string; format: string }): Promise<void>
  /** The volume's bytes, as they are on it. */
  stream(volumeId: string): Readable
  /** Writes the volume into an image file. */
  drain(volumeId: string, image: { path: string; format: string }): Promise<void>

  /** All that is of this back end, also what a killed copy left. */
  list(): Promise<StoredVolume[]>
}

/** Runs the work while nothing is written to the volumes: for a back end that cannot take a moment of a volume in use by itself. */
export type Hold = <T>(work: () => Promise<T>) => Promise<T>

export interface Space {
  totalGiB: number
  freeGiB: number
  /** Sum of the sizes that volumes and snapshots may grow to. */
  provisionedGiB: number
}

export interface StoredVolume {
  /** A `copy` is not finished: its owner is being made, or was when the process was killed. */
  kind: 'volume' | 'snapshot' | 'copy'
  id: string
  /** As `lvs` or `ls` shows it. */
  name: string
  sizeGiB: number
}

/** Names become files, devices and arguments. @throws Fault 400 BadVolume */
export const volumeName = (id: string) => `volume-${uuid(id)}`
/** LVM keeps names that begin with `snapshot` to itself. */
export const snapshotName = (id: string) => `_snapshot-${uuid(id)}`
export const copyName = (id: string) => `copy-${uuid(id)}`

function uuid(id: string): string {
  if (!UUID.test(id)) throw badRequest(`${JSON.stringify(id.slice(0, 100))} is not the id of a volume or snapshot.`, 'BadVolume')
  return id
}
const UUID = /^[0-9a-f-]{36}$/

/** The part of a stored volume that its name tells; null for what is not ours. */
export function readName(name: string): Pick<StoredVolume, 'kind' | 'id' | 'name'> | null {
  const match = /^(volume|_snapshot|copy)-([0-9a-f-]{36})$/.exec(name)
  if (!match) return null
  return { kind: match[1] === '_snapshot' ? 'snapshot' : (match[1] as 'volume' | 'copy'), id: match[2]!, name }
}
