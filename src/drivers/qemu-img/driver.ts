/** Disk images as qemu-img makes and changes them. Paths are absolute; every format is named, never guessed; all sizes are bytes. */
export type DiskFormat = 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vpc' | 'vhdx'

export interface DiskFile {
  path: string
  format: DiskFormat
}

/** What this driver writes; the other formats it only reads. */
export interface OwnDisk extends DiskFile {
  format: 'raw' | 'qcow2'
}

export interface DiskInfo {
  format: string
  virtualSizeBytes: number
  /** What it takes on the host's disk. */
  allocatedBytes: number
  /** As it stands in the file: absolute for those that this driver makes. */
  backingFile: string | null
  backingFormat: string | null
  encrypted: boolean
  corrupt: boolean
}

export interface DiskCheck {
  /** Inconsistencies that lose data. */
  corruptions: number
  /** Clusters that nothing refers to: wasted room, no loss. */
  leaks: number
}

export interface ConvertOptions {
  /** Compressed clusters: smaller and slower, for uploads. */
  compress?: boolean
  /** ms after which it is stopped (default one hour). */
  timeoutMs?: number
}

/**
 * Each method throws
 *  - Fault 400 BadImage for a path that is not absolute or a format that is none of these,
 *  - Fault 404 ImageNotFound when a file it reads is not there,
 *  - Fault 409 ImageInUse when a running guest (or another tool) holds it: no method looks past that lock,
 *  - Fault 507 DiskFull when the file system has no room,
 *  - Fault 400 ImageInvalid when the data are not what the format says,
 *  - Fault 503 QemuImgFailed for anything else, with what the tool said.
 * A file that was to be written and is not finished is removed again.
 */
export interface QemuImg {
  /** The header alone; the chain behind it is not opened. */
  info(disk: DiskFile): Promise<DiskInfo>
  /** An empty disk. Replaces a file of that name. */
  create(disk: OwnDisk, virtualSizeBytes: number): Promise<void>
  /** A qcow2 at `path` that holds only what differs from `backing`, at least as large. Replaces a file of that name. */
  createOverlay(path: string, backing: DiskFile, virtualSizeBytes?: number): Promise<void>
  /** @throws Fault 400 ShrinkRefused when smaller than it is, unless `shrink` says that data behind the new end may go */
  resize(disk: OwnDisk, virtualSizeBytes: number, options?: { shrink?: boolean }): Promise<void>
  /** A copy of all that a guest sees, backing files included. Holes stay holes. */
  convert(from: DiskFile, to: OwnDisk, options?: ConvertOptions): Promise<void>
  /** Of qcow2 and other formats with tables; raw has none and is always sound. */
  check(disk: DiskFile): Promise<DiskCheck>
  /** How much room a copy in `format` takes: what is used now, and at most. */
  measure(disk: DiskFile, format: 'raw' | 'qcow2'): Promise<{ requiredBytes: number; fullyAllocatedBytes: number }>
  /**
   * Puts a qcow2 on another backing file, or on none (then it holds everything itself), without change to what a guest sees. `moved`: the other one is the same data
   * at another place, and the one from before is not looked for.
   */
  rebase(path: string, backing: DiskFile | null, options?: { moved?: boolean }): Promise<void>
  /** Moves what an overlay holds into its backing file; the overlay is then to be thrown away. */
  commit(path: string): Promise<void>
}
