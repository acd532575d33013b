/** What an inspector may see of an image: ranges of bytes, filled up with zeros where the file ends, so that a short file is read like any other. */
export interface Bytes {
  /** Of the whole file. */
  size: number
  read(offset: number, length: number): Promise<Buffer>
}

/** What a format's inspector found out from the header alone. */
export interface Finding {
  /** What a guest would see. */
  virtualSizeBytes: number
  /** Why the image must not be opened, one sentence each, starting with the format's name. */
  problems: string[]
}

export interface Format {
  /** As qemu-img calls it. */
  name: string
  /** @param head the file's first {@link HEAD_BYTES}; @param tail its last {@link TAIL_BYTES} */
  detect(head: Buffer, tail: Buffer): boolean
  inspect(bytes: Bytes, head: Buffer, tail: Buffer): Promise<Finding>
}

export const HEAD_BYTES = 64 * 1024
export const TAIL_BYTES = 512
/** Larger disks are not believed. */
const LARGEST_DISK = 64 * 1024 ** 4

/** A size as a number, and a problem when it is larger than any disk or negative as a signed number would be. */
export function believe(format: string, size: bigint, problems: string[]): number {
  if (size <= BigInt(LARGEST_DISK)) return Number(size)
  problems.push(`${format} claims a size of ${size} bytes, more than 64 TiB`)
  return LARGEST_DISK
}

/** Text from an image in a form that can stand in a message: printable, and not long. */
export function quoted(text: Buffer | string): string {
  const printable = text.toString('latin1').replace(/[^\x20-\x7e]/g, '?')
  return printable.length > 120 ? `${printable.slice(0, 120)}...` : printable
}
