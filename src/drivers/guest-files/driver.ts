/** A file of a guest: root's, but for one that is there already, which keeps its owner and permissions. */
export interface GuestFile {
  /** Absolute, in the guest's file system; directories come of themselves. */
  path: string
  content: Uint8Array
  /** Permissions, such as 0o600. */
  mode: number
  /** Permissions of its directory where that has to be made (default 0o755). */
  directoryMode?: number
}

/** No file that is read here (keys, passwords) is longer. */
export const MOST_BYTES_READ = 1024 ** 2

/** A guest's file system, laid open. */
export interface OpenedDisk {
  /** From 1; 0 when the disk has no partitions. */
  partition: number
  /** Null when there is none. @throws Fault 400 TooLarge beyond {@link MOST_BYTES_READ}: a sparse file may claim more than a host has */
  read(path: string): Promise<Buffer | null>
  /** Replaces what is there. @throws Fault 400 BadPath, 507 NoSpace, 500 NotWritten */
  write(files: GuestFile[]): Promise<void>
}

/** Reads and writes files of disks that no guest runs on. The kernel never mounts what may be hostile: an ordinary program reads the file system. */
export interface GuestFiles {
  /**
   * @param disk a qcow2 file
   * @param partition its number from 1; 0 for the whole disk; -1 for the first with a file system that can be written
   * @throws Fault 400 NoFileSystem when there is none of a kind that is known (ext2 to ext4), 503 when the disk cannot be laid open
   */
  within<T>(disk: string, partition: number, work: (opened: OpenedDisk) => Promise<T>): Promise<T>
  /** Closes what a process that was killed left open. */
  release(disk: string): Promise<void>
}
