import { type Bytes, believe, type Finding, type Format, HEAD_BYTES } from './bytes.ts'

const DIFFERENCING = 4
const FOOTER_COOKIE = 'conectix'

const isFooter = (block: Buffer) => block.toString('latin1', 0, 8) === FOOTER_COOKIE

/** VHD. A fixed one is raw data with a footer; the others repeat the footer at the start. */
export const vpc: Format = {
  name: 'vpc',
  detect: (head, tail) => isFooter(head) || isFooter(tail),
  async inspect(_bytes, head, tail) {
    const footer = isFooter(head) ? head : tail
    const problems: string[] = []
    const type = footer.readUInt32BE(60)
    if (type === DIFFERENCING) problems.push('vpc is a differencing disk: it names a parent')
    else if (type !== 2 && type !== 3) problems.push(`vpc has the unknown disk type ${type}`)
    return { virtualSizeBytes: believe('vpc', footer.readBigUInt64BE(48), problems), problems }
  },
}

const REGION_TABLES = [192 * 1024, 256 * 1024]
const TABLE_BYTES = HEAD_BYTES
const MAX_ENTRIES = 2047
const METADATA_REGION = guid('8b7ca206-4790-4b9a-b8fe-575f050f886e')
const FILE_PARAMETERS = guid('caa16737-fa36-4d43-b3b6-33f0aa44e76b')
const DISK_SIZE = guid('2fa54224-cd1b-4876-b211-5dbed83bf4b8')
const HAS_PARENT = 0b10

export const vhdx: Format = {
  name: 'vhdx',
  detect: (head) => head.toString('latin1', 0, 8) === 'vhdxfile',
  inspect: inspectVhdx,
}

async function inspectVhdx(bytes: Bytes): Promise<Finding> {
  const problems: string[] = []
  const unreadable = (what: string): Finding => ({ virtualSizeBytes: 0, problems: [`vhdx has no readable ${what}`] })
  const metadataAt = await findMetadata(bytes)
  if (metadataAt === undefined) return unreadable('region table')
  const table = await bytes.read(metadataAt, TABLE_BYTES)
  if (table.toString('latin1', 0, 8) !== 'metadata') return unreadable('metadata')
  const items = entries(table, 32, table.readUInt16LE(10))
  const item = (id: Buffer) => items.find((entry) => entry.subarray(0, 16).equals(id))
  const parameters = item(FILE_PARAMETERS)
  const size = item(DISK_SIZE)
  if (!parameters || !size) return unreadable('size')
  const flags = (await bytes.read(metadataAt + parameters.readUInt32LE(16) + 4, 4)).readUInt32LE(0)
  if (flags & HAS_PARENT) problems.push('vhdx is a differencing disk: it names a parent')
  const claimed = (await bytes.read(metadataAt + size.readUInt32LE(16), 8)).readBigUInt64LE(0)
  return { virtualSizeBytes: believe('vhdx', claimed, problems), problems }
}

async function findMetadata(bytes: Bytes): Promise<number | undefined> {
  for (const at of REGION_TABLES) {
    const table = await bytes.read(at, TABLE_BYTES)
    if (table.toString('latin1', 0, 4) !== 'regi') continue
    const region = entries(table, 16, table.readUInt32LE(8)).find((entry) => entry.subarray(0, 16).equals(METADATA_REGION))
    const offset = region?.readBigUInt64LE(16)
    if (offset !== undefined && offset <= BigInt(bytes.size)) return Number(offset)
  }
  return undefined
}

/** The 32-byte entries of a table that says how many it has. */
function entries(table: Buffer, start: number, count: number): Buffer[] {
  return Array.from({ length: Math.min(count, MAX_ENTRIES - 1) }, (_, i) => table.subarray(start + 32 * i, start + 32 * (i + 1))).filter(
    (entry) => entry.length === 32,
  )
}

/** Microsoft writes the first three groups of a GUID with the low byte first. */
function guid(text: string): Buffer {
  const [a, b, c, ...rest] = text.split('-').map((part) => Buffer.from(part, 'hex'))
  return Buffer.concat([a!.reverse(), b!.reverse(), c!.reverse(), ...rest])
}
