import { type Bytes, believe, type Finding, type Format, HEAD_BYTES, quoted } from './bytes.ts'

const MAGIC = 'QFI\xfb'
const V2_HEADER = 72
const V3_HEADER = 104
const DATA_FILE_NAME = 0x44415441
const END_OF_EXTENSIONS = 0
/** Limits that QEMU itself keeps; beyond them lies only memory to exhaust. */
const MAX_L1_BYTES = 32 * 1024 ** 2
const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 ** 2
const MAX_SNAPSHOTS = 65_536
const MAX_BACKING_NAME = 1023

/** Incompatible feature bits. The dirty bit (0) is harmless; compression type (3) and extended L2 entries (4) are understood by today's tools. */
const CORRUPT = 1n << 1n
const EXTERNAL_DATA = 1n << 2n
const UNDERSTOOD = 0b11111n

export const qcow2: Format = {
  name: 'qcow2',
  detect: (head) => head.toString('latin1', 0, 4) === MAGIC,
  inspect,
}

async function inspect(bytes: Bytes, head: Buffer): Promise<Finding> {
  const problems: string[] = []
  const version = head.readUInt32BE(4)
  const clusterBits = head.readUInt32BE(20)
  const clusterSize = 2 ** Math.min(clusterBits, 21)
  const virtualSizeBytes = believe('qcow2', head.readBigUInt64BE(24), problems)
  if (version !== 2 && version !== 3) return { virtualSizeBytes, problems: [`qcow2 has version ${version}; 2 and 3 are known`] }
  if (bytes.size < V2_HEADER) return { virtualSizeBytes, problems: ['qcow2 ends within its header'] }
  if (clusterBits < 9 || clusterBits > 21) problems.push(`qcow2 has clusters of 2^${clusterBits} bytes; 2^9 to 2^21 are allowed`)
  if (head.readUInt32BE(32) !== 0) problems.push('qcow2 is encrypted')

  const backingOffset = head.readBigUInt64BE(8)
  if (backingOffset !== 0n) problems.push(`qcow2 names a backing file (${await backingName(bytes, head, backingOffset)})`)
  checkTables(bytes, head, clusterSize, problems)

  const features = version === 3 ? head.readBigUInt64BE(72) : 0n
  if (features & EXTERNAL_DATA) problems.push('qcow2 keeps its data in another file')
  if (features & CORRUPT) problems.push('qcow2 is marked corrupt')
  if (features & ~UNDERSTOOD) problems.push(`qcow2 needs unknown features (0x${(features & ~UNDERSTOOD).toString(16)})`)

  const headerLength = version === 3 ? head.readUInt32BE(100) : V2_HEADER
  if (headerLength > clusterSize || headerLength % 8 !== 0 || (version === 3 && headerLength < V3_HEADER))
    problems.push(`qcow2 has a header of ${headerLength} bytes`)
  else checkExtensions(head, headerLength, clusterSize, problems)
  return { virtualSizeBytes, problems }
}

async function backingName(bytes: Bytes, head: Buffer, offset: bigint): Promise<string> {
  const length = head.readUInt32BE(16)
  if (length > MAX_BACKING_NAME || offset > BigInt(bytes.size)) return 'its name lies outside of the header'
  return quoted(await bytes.read(Number(offset), length))
}

function checkTables(bytes: Bytes, head: Buffer, clusterSize: number, problems: string[]): void {
  const l1Bytes = head.readUInt32BE(36) * 8
  const refcountBytes = head.readUInt32BE(56) * clusterSize
  const snapshots = head.readUInt32BE(60)
  if (l1Bytes > MAX_L1_BYTES) problems.push(`qcow2 has an L1 table of ${l1Bytes} bytes; 32 MiB are allowed`)
  if (refcountBytes > MAX_REFCOUNT_TABLE_BYTES) problems.push(`qcow2 has a refcount table of ${refcountBytes} bytes; 8 MiB are allowed`)
  if (snapshots > MAX_SNAPSHOTS) problems.push(`qcow2 has ${snapshots} internal snapshots; ${MAX_SNAPSHOTS} are allowed`)
  const end = BigInt(bytes.size)
  const places: [string, number, number][] = [
    ['L1 table', 40, l1Bytes],
    ['refcount table', 48, refcountBytes],
    ['snapshot table', 64, snapshots],
  ]
  for (const [name, at, length] of places)
    if (length > 0 && head.readBigUInt64BE(at) + BigInt(length) > end) problems.push(`qcow2 has its ${name} beyond the end of the file`)
}

function checkExtensions(head: Buffer, start: number, clusterSize: number, problems: string[]): void {
  const end = Math.min(clusterSize, HEAD_BYTES)
  let at = start
  while (at + 8 <= end) {
    const kind = head.readUInt32BE(at)
    const length = head.readUInt32BE(at + 4)
    if (kind === END_OF_EXTENSIONS) return
    if (at + 8 + length > end) {
      problems.push(`qcow2 has a header extension of ${length} bytes`)
      return
    }
    if (kind === DATA_FILE_NAME) problems.push(`qcow2 names a data file (${quoted(head.subarray(at + 8, at + 8 + length))})`)
    at += 8 + Math.ceil(length / 8) * 8
  }
  if (end < clusterSize) problems.push(`qcow2 has header extensions beyond its first ${end} bytes, which are not looked at`)
}
