import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { unavailable } from '../../kernel/errors/errors.ts'
import { type ExecError, exec } from '../../kernel/exec/exec.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { adopted, endProcess } from '../daemon.ts'
import type { GuestFile, GuestFiles, OpenedDisk } from './driver.ts'
import { assertReadable, directoriesOf, guestPath, noFileSystem, notWritten } from './words.ts'

const DAEMON = 'qemu-storage-daemon'
/** Where an ext superblock has its mark, and which. */
const MARK_AT = 1024 + 56
const MARK = 0xef53
/** Of what reads a guest's own tables and file systems: they may have been made to take a host's memory and time. */
const BOUNDED = { limits: { bytes: GiB, cpuSeconds: 30 }, mostOutputBytes: 16 * MiB }
const DAEMON_BOUNDS = { limits: { bytes: 2 * GiB, cpuSeconds: 600 } }

/** QEMU's storage daemon shows the disk as a file, by FUSE; debugfs of e2fsprogs works in the ext file system inside it. */
export function realGuestFiles(): GuestFiles {
  return { within, release }
}

/** The file under which a disk is seen while it is laid open. */
const viewOf = (disk: string) => `${disk}.open`
const pidFileOf = (disk: string) => `${disk}.open.pid`

async function within<T>(disk: string, partition: number, work: (opened: OpenedDisk) => Promise<T>): Promise<T> {
  await release(disk)
  const scratch = await mkdtemp(join(dirname(disk), 'inject-'))
  try {
    await layOpen(disk)
    const place = await findFileSystem(disk, partition)
    return await work(openedAt(place, `${viewOf(disk)}?offset=${place.offset}`, scratch))
  } finally {
    await rm(scratch, { recursive: true, force: true })
    await release(disk)
  }
}

async function layOpen(disk: string): Promise<void> {
  const view = viewOf(disk)
  await writeFile(view, '', { mode: 0o600 })
  const node = { driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename: disk } }
  const shown = { type: 'fuse', id: 'open', 'node-name': 'disk', mountpoint: view, writable: true }
  try {
    const args = ['--blockdev', JSON.stringify(node), '--export', JSON.stringify(shown), '--pidfile', pidFileOf(disk), '--daemonize']
    await exec(DAEMON, args, DAEMON_BOUNDS)
  } catch (error) {
    throw unavailable(
      `${disk} cannot be laid open to put files into it: ${(error as ExecError).stderr || (error as Error).message}`,
      'NotOpened',
      error,
    )
  }
}

async function release(disk: string): Promise<void> {
  const pid = adopted(pidFileOf(disk), DAEMON, pidFileOf(disk))
  if (pid !== undefined) await endProcess(pid, `${DAEMON} of ${disk}`, 10_000)
  for (const file of [pidFileOf(disk), viewOf(disk)]) await rm(file, { force: true })
}

interface Place {
  partition: number
  /** Bytes. */
  offset: number
}

async function findFileSystem(disk: string, wanted: number): Promise<Place> {
  const places = [...(await partitionsOf(viewOf(disk))), { partition: 0, offset: 0 }]
  const candidates = places.filter(({ partition }) => wanted === -1 || partition === wanted)
  for (const place of candidates) if (await isExt(viewOf(disk), place.offset)) return place
  throw noFileSystem(disk, wanted === -1 ? 'on any partition' : wanted === 0 ? 'on it as a whole' : `on partition ${wanted}`)
}

/** In the order of the table; none where there is no table. */
async function partitionsOf(view: string): Promise<Place[]> {
  const { stdout, code } = await exec('sfdisk', ['--json', view], { ...BOUNDED, ok: [0, 1] })
  if (code !== 0) return []
  const { partitiontable: table } = JSON.parse(stdout) as {
    partitiontable: { sectorsize?: number; partitions?: { node: string; start: number }[] }
  }
  return (table.partitions ?? []).map(({ node, start }) => ({
    partition: Number(/(\d+)$/.exec(node)?.[1]),
    offset: start * (table.sectorsize ?? 512),
  }))
}

async function isExt(view: string, offset: number): Promise<boolean> {
  const file = await open(view, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, offset + MARK_AT)
    return bytesRead === 2 && buffer.readUInt16LE() === MARK
  } finally {
    await file.close()
  }
}

function openedAt({ partition }: Place, target: string, scratch: string): OpenedDisk {
  const ask = async (request: string) => (await exec('debugfs', ['-R', request, target], BOUNDED)).stdout
  const lookAt = async (path: string): Promise<(Owned & { size: number }) | null> => {
    const [, mode, user, group, size] =
      /^Inode: \d+[\s\S]*?Mode: +(\d+)[\s\S]*?User: +(\d+) +Group: +(\d+)[\s\S]*?Size: (\d+)/m.exec(await ask(`stat "${path}"`)) ?? []
    return mode === undefined ? null : { mode: Number.parseInt(mode, 8), user: Number(user), group: Number(group), size: Number(size) }
  }
  return {
    partition,
    async read(path) {
      const name = guestPath(path)
      const there = await lookAt(name)
      if (!there) return null
      assertReadable(name, there.size)
      const copy = join(scratch, 'read')
      await ask(`dump "${name}" "${copy}"`)
      return await readFile(copy)
    },
    async write(files) {
      const requests: string[] = []
      const made = new Set<string>()
      for (const [i, file] of files.entries()) {
        const source = join(scratch, String(i))
        await writeFile(source, file.content, { mode: 0o600 })
        const path = guestPath(file.path)
        for (const directory of directoriesOf(path)) {
          if (made.has(directory) || (await lookAt(directory))) continue
          made.add(directory)
          const own = directory === posix.dirname(path)
          requests.push(
            `mkdir "${directory}"`,
            ...owning(directory, DIRECTORY, { mode: (own && file.directoryMode) || 0o755, user: 0, group: 0 }),
          )
        }
        const before = await lookAt(path)
        if (before) requests.push(`rm "${path}"`)
        requests.push(`write "${source}" "${path}"`, ...owning(path, REGULAR, before ?? { mode: file.mode, user: 0, group: 0 }))
      }
      const script = join(scratch, 'script')
      await writeFile(script, `${requests.join('\n')}\n`, { mode: 0o600 })
      const { stderr } = await exec('debugfs', ['-w', '-f', script, target], BOUNDED)
      await verify(files, ask, stderr)
    },
  }
}

interface Owned {
  mode: number
  user: number
  group: number
}

const REGULAR = 0o100000
const DIRECTORY = 0o040000
const owning = (path: string, kind: number, { mode, user, group }: Owned): string[] => [
  `sif "${path}" mode 0${(kind | mode).toString(8)}`,
  `sif "${path}" uid ${user}`,
  `sif "${path}" gid ${group}`,
]

/** debugfs goes on after what fails, and ends as if nothing had. */
async function verify(files: GuestFile[], ask: (request: string) => Promise<string>, said: string): Promise<void> {
  const complaint = said.replace(/^debugfs \d.*$/m, '').trim()
  for (const { path, content } of files) {
    const size = /Size: (\d+)/.exec(await ask(`stat "${guestPath(path)}"`))?.[1]
    if (complaint || Number(size) !== content.byteLength) throw notWritten(path, complaint)
  }
}
