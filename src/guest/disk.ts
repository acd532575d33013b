import { open, readFile, rename, truncate } from 'node:fs/promises'
import { exec } from '../kernel/exec/exec.ts'
import { MiB } from '../kernel/units/units.ts'
import { walk } from './tree.ts'

const SECTOR = 512
const FIRST_START = MiB
const LIMIT_MS = 10 * 60_000
const MBR_CODE = '/usr/lib/syslinux/mbr/mbr.bin'
/** Read by people who compare disks; any constant does. */
const DISK_ID = 0x756e7967

export interface DiskParts {
  loader: Loader
  /** Directory whose content becomes the root file system. */
  root: string
  rootMiB: number
  /** debugfs commands run on the root file system, e.g. to set owners without being root. */
  rootFixes: string[]
  journalMiB: number
}

/** SYSLINUX and its files (name to path on this machine) on a FAT partition of their own, or GRUB before the first partition, which reads the root file system. */
export type Loader =
  | { kind: 'syslinux'; files: Record<string, string>; partitionMiB: number }
  | { kind: 'grub'; boot: string; core: string }

interface Partition {
  start: number
  bytes: number
  type: number
  active: boolean
}

/**
 * Builds a BIOS-bootable disk, without mounting anything. Its root (ext4) is the first entry and last on the disk, so that the guest can let it grow. Writes a
 * compressed qcow2 at `target`, using `scratch` (a raw file) on the way.
 * @returns the virtual size in MiB
 */
export async function makeDisk(parts: DiskParts, scratch: string, target: string): Promise<number> {
  const { loader } = parts
  const before = loader.kind === 'syslinux' ? loader.partitionMiB * MiB : 0
  const root: Partition = { start: FIRST_START + before, bytes: parts.rootMiB * MiB, type: 0x83, active: loader.kind === 'grub' }
  const virtualSize = root.start + root.bytes
  await (await open(scratch, 'w')).close()
  await truncate(scratch, virtualSize)
  if (loader.kind === 'syslinux') {
    const boot: Partition = { start: FIRST_START, bytes: before, type: 0x0e, active: true }
    await writeAt(scratch, 0, masterBootRecord(await readFile(MBR_CODE), [root, boot]))
    await makeBootPartition(loader.files, boot, scratch)
  } else {
    await writeAt(scratch, 0, masterBootRecord(await readFile(loader.boot), [root]))
    await writeAt(scratch, SECTOR, await readFile(loader.core))
  }
  await makeRootPartition(parts, root, scratch)
  const asQcow2 = ['convert', '-c', '-W', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd']
  await exec('qemu-img', [...asQcow2, scratch, `${target}.part`], { timeoutMs: LIMIT_MS })
  await rename(`${target}.part`, target)
  return virtualSize / MiB
}

/** What a directory's content takes in a file system of blocks of 4 KiB, in MiB. */
export async function treeMiB(root: string): Promise<number> {
  const block = 4096
  const bytes = (await walk(root)).reduce((sum, { kind, bytes }) => sum + (kind === 'file' ? Math.ceil(bytes / block) * block : block), 0)
  return Math.ceil(bytes / MiB)
}

/** Sector 0 of a disk: boot code and up to four partitions, addressed by sector numbers alone. */
export function masterBootRecord(code: Uint8Array, partitions: Partition[]): Buffer {
  const sector = Buffer.alloc(SECTOR)
  sector.set(code.subarray(0, 440), 0)
  sector.writeUInt32LE(DISK_ID, 440)
  partitions.forEach((partition, i) => {
    const at = 446 + 16 * i
    sector[at] = partition.active ? 0x80 : 0
    sector.fill(0xff, at + 1, at + 4)
    sector[at + 4] = partition.type
    sector.fill(0xff, at + 5, at + 8)
    sector.writeUInt32LE(partition.start / SECTOR, at + 8)
    sector.writeUInt32LE(partition.bytes / SECTOR, at + 12)
  })
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

async function makeBootPartition(files: Record<string, string>, partition: Partition, image: string): Promise<void> {
  const sectors = String(partition.start / SECTOR)
  await exec('mkfs.vfat', ['-F', '16', '-n', 'GUESTBOOT', '-h', sectors, `--offset=${sectors}`, image, String(partition.bytes / 1024)])
  for (const [name, path] of Object.entries(files))
    await exec('mcopy', ['-i', `${image}@@${partition.start}`, path, `::${name}`], { env: { MTOOLS_SKIP_CHECK: '1' } })
  await exec('syslinux', ['--install', '--offset', String(partition.start), image])
}

/**
 * A journal (a guest may be switched off at any moment), blocks of 4 KiB and room in its tables for growing to 1 TiB while mounted.
 */
async function makeRootPartition(parts: DiskParts, partition: Partition, image: string): Promise<void> {
  const growthBlocks = 1024 ** 4 / 4096
  await exec(
    'mke2fs',
    [
      ...['-q', '-F', '-t', 'ext4', '-L', 'guest-root', '-b', '4096', '-m', '0', '-O', '^metadata_csum', '-J', `size=${parts.journalMiB}`],
      ...['-E', `offset=${partition.start},root_owner=0:0,lazy_itable_init=1,resize=${growthBlocks}`],
      ...['-d', parts.root, image, `${partition.bytes / 1024}k`],
    ],
    { timeoutMs: LIMIT_MS },
  )
  if (parts.rootFixes.length === 0) return
  const fixes = `${parts.rootFixes.join('\n')}\n`
  await exec('debugfs', ['-w', '-f', '-', `${image}?offset=${partition.start}`], { input: fixes })
}

async function writeAt(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(bytes, 0, bytes.length, position)
  } finally {
    await file.close()
  }
}
