import { believe, type Format } from './bytes.ts'

const VDI_SIGNATURE = 0xbeda107f
const VDI_TYPES = new Map([
  [3, 'an undo disk'],
  [4, 'a differencing disk'],
])

export const vdi: Format = {
  name: 'vdi',
  detect: (head) => head.readUInt32LE(64) === VDI_SIGNATURE,
  async inspect(_bytes, head) {
    const problems: string[] = []
    const type = head.readUInt32LE(76)
    if (type !== 1 && type !== 2) problems.push(`vdi is ${VDI_TYPES.get(type) ?? `of the unknown type ${type}`}`)
    if (!head.subarray(440, 456).equals(Buffer.alloc(16))) problems.push('vdi names a parent')
    return { virtualSizeBytes: believe('vdi', head.readBigUInt64LE(368), problems), problems }
  },
}

export const qed: Format = {
  name: 'qed',
  detect: (head) => head.toString('latin1', 0, 4) === 'QED\0',
  async inspect(_bytes, head) {
    const problems = ['qed is a format that is no longer maintained and may name a backing file']
    return { virtualSizeBytes: believe('qed', head.readBigUInt64LE(48), problems), problems }
  },
}

/** An encrypted volume; what a guest sees is what the file holds. */
export const luks: Format = {
  name: 'luks',
  detect: (head) => head.toString('latin1', 0, 6) === 'LUKS\xba\xbe',
  async inspect(bytes) {
    return { virtualSizeBytes: bytes.size, problems: [] }
  },
}

export const iso: Format = {
  name: 'iso',
  detect: (head) => head.toString('latin1', 32_769, 32_774) === 'CD001',
  async inspect(bytes) {
    return { virtualSizeBytes: bytes.size, problems: [] }
  },
}

/** Which partition table a raw disk has; 'mbr' only where sector 0 holds entries that make sense, since many things end in 55 AA. */
export function partitionTable(head: Buffer): 'gpt' | 'mbr' | null {
  if (head.toString('latin1', 512, 520) === 'EFI PART') return 'gpt'
  if (head.readUInt16LE(510) !== 0xaa55) return null
  const entries = [446, 462, 478, 494].map((at) => head.subarray(at, at + 16))
  const sound = entries.every((entry) => entry[0] === 0 || entry[0] === 0x80)
  const used = entries.filter((entry) => entry[4] !== 0 && entry.readUInt32LE(12) > 0)
  return sound && used.length > 0 ? 'mbr' : null
}
