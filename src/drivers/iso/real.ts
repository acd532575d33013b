import { access, chmod, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { badRequest, Fault, notFound, unavailable } from '../../kernel/errors/errors.ts'
import { ExecError, exec } from '../../kernel/exec/exec.ts'
import { GiB } from '../../kernel/units/units.ts'
import type { Disc, Iso } from './driver.ts'

/** As for every program that reads what somebody may have made. */
const BOUNDED = { limits: { bytes: GiB, cpuSeconds: 30 } }
/** Characters. */
const LONGEST_PATH = 1024
/** Names as they are: long, in lower case, with several dots. */
const NAMES = ['-ldots', '-allow-lowercase', '-allow-multidot', '-l', '-J', '-joliet-long', '-r']

/** genisoimage, and isoinfo of the same package for reading. */
export function realIso(): Iso {
  return { create, read }
}

async function create(path: string, disc: Disc): Promise<number> {
  const part = `${path}.part`
  const label = discLabel(disc.label)
  try {
    // beside the target, in a directory of its owner's alone, since the files may hold passwords
    const tree = await mkdtemp(join(dirname(path), '.iso-'))
    try {
      for (const [name, content] of disc.files) {
        const file = join(tree, discPath(name))
        await mkdir(dirname(file), { recursive: true })
        await writeFile(file, content)
      }
      await writeFile(part, '', { mode: 0o600 })
      await exec('genisoimage', ['-quiet', ...NAMES, '-V', label, '-o', part, tree], BOUNDED)
      await chmod(part, 0o600)
    } finally {
      await rm(tree, { recursive: true, force: true })
    }
    await rename(part, path)
    return (await stat(path)).size
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    throw asFault(error)
  }
}

async function read(path: string): Promise<Disc> {
  await access(path).catch(() => {
    throw isoNotFound(path)
  })
  const about = await exec('isoinfo', ['-d', '-i', path], BOUNDED).catch(() => undefined)
  const label = /^Volume id: ?(.*)$/m.exec(about?.stdout ?? '')?.[1]
  if (label === undefined) throw isoInvalid(path)
  const names = (await exec('isoinfo', ['-f', '-R', '-i', path], BOUNDED)).stdout.split('\n').filter(Boolean)
  const parents = new Set(names.map((name) => dirname(name)))
  const files = new Map<string, Uint8Array>()
  for (const name of names.filter((each) => !parents.has(each)))
    files.set(name.slice(1), Buffer.from((await exec('isoinfo', ['-R', '-x', name, '-i', path], BOUNDED)).stdout))
  return { label: label.trim(), files }
}

/** @throws Fault 400 BadLabel */
export function discLabel(label: string): string {
  if (!/^[A-Za-z0-9][\w .-]{0,31}$/.test(label)) throw badRequest(`${JSON.stringify(label)} cannot be the label of a disc.`, 'BadLabel')
  return label
}

/** A path leads from the disc's root and stays below it. @throws Fault 400 BadPath */
export function discPath(name: string): string {
  if (/^\/|(^|\/)\.{0,2}(\/|$)|[^/]{256}|\p{Cc}/u.test(name) || name.length > LONGEST_PATH || !name.isWellFormed())
    throw badRequest(`${JSON.stringify(name)} cannot be a file on a disc.`, 'BadPath')
  return name
}

export const isoNotFound = (path: string) => notFound(`There is no disc image ${path}.`, 'IsoNotFound')
export const isoInvalid = (path: string) => badRequest(`${path} is no ISO 9660 image.`, 'IsoInvalid')

function asFault(error: unknown): Fault {
  if (error instanceof Fault && !(error instanceof ExecError)) return error
  const said = error instanceof ExecError ? `${error.stderr} ${error.message}` : (error as Error).message
  if (/No space left on device|ENOSPC/.test(said)) return new Fault(507, 'DiskFull', `No room for a disc image: ${said.slice(0, 300)}`)
  return unavailable(`The disc image was not made: ${(error as Error).message}`, 'IsoFailed', error)
}
