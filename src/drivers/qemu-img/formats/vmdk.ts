import { type Bytes, believe, type Finding, type Format, quoted } from './bytes.ts'

const SECTOR = 512n
/** QEMU looks for a parent here, whatever the header says of the description's place and length. */
const DESCRIPTION_AT = 512n
const READ_FOR_PARENT = 20 * 512
const MAX_DESCRIPTION_BYTES = 64 * 1024
const HEADER_BYTES = 512
/** The kinds of VMDK that are one file. */
const SELF_CONTAINED = new Set(['monolithicsparse', 'streamoptimized'])
const EXTENT = /^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)(?:\s+"?([^"\r\n]*)"?)?/gm

export const vmdk: Format = {
  name: 'vmdk',
  detect: (head) => ['KDMV', 'COWD'].includes(head.toString('latin1', 0, 4)) || isDescriptor(head),
  inspect,
}

/** As QEMU tells one: after comments and empty lines, a version. */
function isDescriptor(head: Buffer): boolean {
  const text = head.toString('latin1', 0, 8192)
  if (!/^[#\s]/.test(text) && !text.startsWith('version=')) return false
  const first = text.split(/\r?\n/).find((line) => line.trim() !== '' && !line.trimStart().startsWith('#'))
  return first !== undefined && /^version=\s*[123]\s*$/.test(first.trim())
}

async function inspect(bytes: Bytes, head: Buffer): Promise<Finding> {
  const magic = head.toString('latin1', 0, 4)
  if (magic === 'COWD') return { virtualSizeBytes: 0, problems: ['vmdk is of the old ESX kind (COWD), which is not accepted'] }
  if (magic !== 'KDMV') return { virtualSizeBytes: 0, problems: [`vmdk is a mere description that names other files${namedExtents(head)}`] }
  const problems: string[] = []
  const virtualSizeBytes = believe('vmdk', head.readBigUInt64LE(12) * SECTOR, problems)
  if (bytes.size < HEADER_BYTES) problems.push('vmdk ends within its header')
  if (virtualSizeBytes === 0) problems.push('vmdk has no capacity of its own: its data lie in other files')
  const at = head.readBigUInt64LE(28) * SECTOR
  const length = head.readBigUInt64LE(36) * SECTOR
  if (at !== DESCRIPTION_AT) problems.push('vmdk has no description, or not where it belongs')
  else if (length > BigInt(MAX_DESCRIPTION_BYTES)) problems.push(`vmdk has a description of ${length} bytes; 64 KiB are allowed`)
  else if (at + length > BigInt(bytes.size)) problems.push('vmdk has its description beyond the end of the file')
  else checkDescription((await bytes.read(Number(at), Math.max(Number(length), READ_FOR_PARENT))).toString('latin1'), problems)
  return { virtualSizeBytes, problems }
}

function checkDescription(text: string, problems: string[]): void {
  const kind = /^\s*createType\s*=\s*"?([^"\r\n]*)"?/im.exec(text)?.[1]?.trim() ?? ''
  if (!SELF_CONTAINED.has(kind.toLowerCase())) problems.push(`vmdk is of the kind "${quoted(kind)}", which may name other files`)
  const parent = /^\s*parentFileNameHint\s*=\s*"?([^"\r\n]*)"?/im.exec(text)?.[1]
  if (parent !== undefined) problems.push(`vmdk names a parent (${quoted(parent)})`)
  const extents = [...text.matchAll(EXTENT)]
  if (extents.length > 1) problems.push(`vmdk has ${extents.length} extents; one is allowed`)
  for (const [, type, name] of extents)
    if (type?.toUpperCase() !== 'SPARSE' || name?.includes('/') || name?.includes('\\'))
      problems.push(`vmdk has the extent ${quoted(type ?? '')} ${quoted(name ?? '')}, which lies outside of it`)
}

function namedExtents(head: Buffer): string {
  const names = [...head.toString('latin1', 0, 8192).matchAll(EXTENT)].map(([, , name]) => quoted(name ?? ''))
  return names.length > 0 ? ` (${names.slice(0, 3).join(', ')})` : ''
}
