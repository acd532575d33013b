/** Fields of a qcow2 header, version 3. What is left out is as `qemu-img create` would write it for an empty disk without tables. */
export interface Qcow2Header {
  version?: number
  clusterBits?: number
  virtualSizeBytes: number | bigint
  backing?: { path: string; format: string } | null
  encryption?: number
  l1Entries?: number
  l1Offset?: bigint
  refcountTableOffset?: bigint
  refcountTableClusters?: number
  snapshots?: number
  snapshotsOffset?: bigint
  incompatibleFeatures?: bigint
  headerLength?: number
  /** Header extensions besides the backing format. */
  extensions?: { kind: number; data: Buffer }[]
}

const BACKING_FORMAT = 0xe2792aca
const HEADER_BYTES = 104

/** The first bytes of a qcow2 file. */
export function encodeQcow2Header(header: Qcow2Header): Buffer {
  const fixed = Buffer.alloc(HEADER_BYTES)
  const own = header.backing ? [{ kind: BACKING_FORMAT, data: Buffer.from(header.backing.format) }] : []
  const extensions = Buffer.concat([...[...own, ...(header.extensions ?? [])].map(encodeExtension), Buffer.alloc(8)])
  const name = Buffer.from(header.backing?.path ?? '')
  fixed.write('QFI\xfb', 0, 'latin1')
  fixed.writeUInt32BE(header.version ?? 3, 4)
  if (header.backing) fixed.writeBigUInt64BE(BigInt(HEADER_BYTES + extensions.length), 8)
  fixed.writeUInt32BE(name.length, 16)
  fixed.writeUInt32BE(header.clusterBits ?? 16, 20)
  fixed.writeBigUInt64BE(BigInt(header.virtualSizeBytes), 24)
  fixed.writeUInt32BE(header.encryption ?? 0, 32)
  fixed.writeUInt32BE(header.l1Entries ?? 0, 36)
  fixed.writeBigUInt64BE(header.l1Offset ?? 0n, 40)
  fixed.writeBigUInt64BE(header.refcountTableOffset ?? 0n, 48)
  fixed.writeUInt32BE(header.refcountTableClusters ?? 0, 56)
  fixed.writeUInt32BE(header.snapshots ?? 0, 60)
  fixed.writeBigUInt64BE(header.snapshotsOffset ?? 0n, 64)
  fixed.writeBigUInt64BE(header.incompatibleFeatures ?? 0n, 72)
  fixed.writeUInt32BE(4, 96) // refcounts of 16 bits
  fixed.writeUInt32BE(header.headerLength ?? HEADER_BYTES, 100)
  return Buffer.concat([fixed, extensions, name])
}

/** The backing file that a header (as {@link encodeQcow2Header} makes it) names. */
export function decodeBacking(file: Buffer): { path: string; format: string } | null {
  const offset = Number(file.readBigUInt64BE(8))
  if (offset === 0) return null
  const path = file.toString('utf8', offset, offset + file.readUInt32BE(16))
  for (let at = file.readUInt32BE(100); file.readUInt32BE(at) !== 0; at += 8 + Math.ceil(file.readUInt32BE(at + 4) / 8) * 8)
    if (file.readUInt32BE(at) === BACKING_FORMAT) return { path, format: file.toString('utf8', at + 8, at + 8 + file.readUInt32BE(at + 4)) }
  return { path, format: 'raw' }
}

function encodeExtension({ kind, data }: { kind: number; data: Buffer }): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(kind, 0)
  head.writeUInt32BE(data.length, 4)
  return Buffer.concat([head, data, Buffer.alloc((8 - (data.length % 8)) % 8)])
}
