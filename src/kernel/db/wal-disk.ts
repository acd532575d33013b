import { closeSync, fdatasync, openSync } from 'node:fs'
import { promisify } from 'node:util'

const datasync = promisify(fdatasync)

/**
 * SQLite's write-ahead log on its way to the disk. A commit with `synchronous = normal` is in the file, which a kill does not take back; whoever must outlive a power
 * cut waits for {@link onDisk}. The disk is waited for beside the event loop, and once for all commits that came meanwhile.
 */
export class WalDisk {
  private readonly file: string
  private descriptor: number | undefined
  private running: Promise<void> | undefined
  private next: Promise<void> | undefined

  /** Of the log; SQLite must have made it before the first {@link onDisk}. */
  constructor(file: string) {
    this.file = file
  }

  /** Resolves when everything that is in the file at this call is on the disk. */
  onDisk(): Promise<void> {
    // a sync that is under way may have begun before the last commit: the one after it counts
    this.next ??= this.after(this.running)
    return this.next
  }

  async close(): Promise<void> {
    await (this.next ?? this.running)?.catch(() => {})
    if (this.descriptor !== undefined) closeSync(this.descriptor)
    this.descriptor = undefined
  }

  private async after(before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => {})
    this.running = this.next
    this.next = undefined
    this.descriptor ??= openSync(this.file, 'r')
    await datasync(this.descriptor)
  }
}
