import { access, rename, rm } from 'node:fs/promises'
import { Fault } from '../../kernel/errors/errors.ts'
import { type ExecOptions, exec } from '../../kernel/exec/exec.ts'
import { GiB } from '../../kernel/units/units.ts'
import type { ConvertOptions, DiskCheck, DiskFile, DiskInfo, OwnDisk, QemuImg } from './driver.ts'
import { faultOf, imageNotFound, shrinkRefused } from './faults.ts'
import { withWords } from './words.ts'

/** A header is read in milliseconds; whatever takes longer or more memory was made to. OpenStack's own limits. */
const LOOK: ExecOptions = { limits: { bytes: GiB, cpuSeconds: 30 } }
const HOUR_MS = 3_600_000
const WORK: ExecOptions = { limits: { bytes: GiB, cpuSeconds: 3_600 }, timeoutMs: HOUR_MS }

/** qemu-img, each call under limits of time, processor time and memory. */
export function realQemuImg(): QemuImg {
  return withWords({ info, create, createOverlay, resize, convert, check, measure, rebase, commit })
}

async function info(disk: DiskFile): Promise<DiskInfo> {
  const said = await json(['info', '--output=json', '-f', disk.format, disk.path], LOOK)
  const data = said['format-specific']?.data ?? {}
  return {
    format: said.format,
    virtualSizeBytes: said['virtual-size'],
    allocatedBytes: said['actual-size'],
    backingFile: said['backing-filename'] ?? null,
    backingFormat: said['backing-filename-format'] ?? null,
    encrypted: said.encrypted === true,
    corrupt: data.corrupt === true,
  }
}

async function create(disk: OwnDisk, virtualSizeBytes: number): Promise<void> {
  await making(disk.path, (path) => run(['create', '-q', '-f', disk.format, path, String(virtualSizeBytes)], LOOK))
}

async function createOverlay(path: string, backing: DiskFile, virtualSizeBytes?: number): Promise<void> {
  const size = virtualSizeBytes === undefined ? [] : [String(virtualSizeBytes)]
  await making(path, (part) => run(['create', '-q', '-f', 'qcow2', '-F', backing.format, '-b', backing.path, part, ...size], LOOK))
}

async function resize(disk: OwnDisk, virtualSizeBytes: number, options: { shrink?: boolean } = {}): Promise<void> {
  const now = (await info(disk)).virtualSizeBytes
  if (virtualSizeBytes === now) return
  if (virtualSizeBytes < now && !options.shrink) throw shrinkRefused(disk.path, now, virtualSizeBytes)
  await run(['resize', '-q', ...(options.shrink ? ['--shrink'] : []), '-f', disk.format, disk.path, String(virtualSizeBytes)], WORK)
}

async function convert(from: DiskFile, to: OwnDisk, { compress = false, timeoutMs = HOUR_MS }: ConvertOptions = {}): Promise<void> {
  const how = compress ? ['-c'] : []
  await making(to.path, (path) =>
    run(['convert', '-q', ...how, '-f', from.format, '-O', to.format, from.path, path], { ...WORK, timeoutMs }),
  )
}

async function check(disk: DiskFile): Promise<DiskCheck> {
  if (disk.format === 'raw') {
    await access(disk.path).catch(() => Promise.reject(imageNotFound(disk.path)))
    return { corruptions: 0, leaks: 0 }
  }
  // 2: corruptions, 3: leaks only
  const said = await json(['check', '--output=json', '-f', disk.format, disk.path], { ...WORK, ok: [0, 2, 3] })
  return { corruptions: said.corruptions ?? 0, leaks: said.leaks ?? 0 }
}

async function measure(disk: DiskFile, format: 'raw' | 'qcow2'): Promise<{ requiredBytes: number; fullyAllocatedBytes: number }> {
  const said = await json(['measure', '--output=json', '-f', disk.format, '-O', format, disk.path], WORK)
  return { requiredBytes: said.required, fullyAllocatedBytes: said['fully-allocated'] }
}

async function rebase(path: string, backing: DiskFile | null, { moved = false }: { moved?: boolean } = {}): Promise<void> {
  await run(
    ['rebase', '-q', ...(moved ? ['-u'] : []), '-f', 'qcow2', ...(backing ? ['-F', backing.format, '-b', backing.path] : ['-b', '']), path],
    WORK,
  )
}

async function commit(path: string): Promise<void> {
  await run(['commit', '-q', '-d', '-f', 'qcow2', path], WORK)
}

/** Writes beside the place and moves there at the end, so that nobody sees half a disk. */
async function making(path: string, write: (part: string) => Promise<unknown>): Promise<void> {
  const part = `${path}.part`
  try {
    await rm(part, { force: true })
    await write(part)
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    throw error instanceof Fault ? error : faultOf(error)
  }
}

async function json(args: string[], options: ExecOptions): Promise<any> {
  return JSON.parse(await run(args, options))
}

async function run(args: string[], options: ExecOptions): Promise<string> {
  try {
    return (await exec('qemu-img', args, options)).stdout
  } catch (error) {
    throw faultOf(error)
  }
}
