import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Fault, unavailable } from '../kernel/errors/errors.ts'
import { walk } from './tree.ts'

export interface GuestImage {
  /** Absolute path of the qcow2 file; others may keep it open, so it is never changed. */
  path: string
  /** Of the file, in hex. */
  sha256: string
  bytes: number
  virtualSizeMiB: number
  /** With less memory it does not boot. */
  minRamMiB: number
  /** The kernel's version. */
  kernel: string
  /** The Debian packages that it is made from, with their versions. */
  packages: string[]
}

export interface BuildOptions {
  /** Holds packages and finished images (default `$XDG_CACHE_HOME/yun`, for root /var/cache/yun). */
  cacheDir?: string
  /** Called with a short phrase when a stage begins. */
  onProgress?: (stage: string) => void
  /** Asks apt for newer packages even if an image of the present recipe is there. */
  refresh?: boolean
}

export function defaultCacheDir(): string {
  if (process.env.XDG_CACHE_HOME) return join(process.env.XDG_CACHE_HOME, 'yun')
  return process.getuid?.() === 0 ? '/var/cache/yun' : join(homedir(), '.cache/yun')
}

const underWay = new Map<string, Promise<GuestImage>>()

/** One build of an image at a time in this process: who asks meanwhile gets the same one. */
export function once(key: string, build: () => Promise<GuestImage>): Promise<GuestImage> {
  const running = underWay.get(key)
  if (running) return running
  const started = build().finally(() => underWay.delete(key))
  underWay.set(key, started)
  return started
}

/** Finished images of all kinds, each under a key that begins with its kind and recipe. A build that is interrupted leaves nothing that would be used. */
export class ImageCache {
  private readonly directory: string

  constructor(cacheDir: string) {
    this.directory = join(cacheDir, 'guests')
  }

  /** The image made last among those whose key begins with `prefix`. */
  async newest(prefix: string): Promise<GuestImage | undefined> {
    const names = await readdir(this.directory).catch(() => [])
    const keys = names.filter((name) => name.startsWith(prefix) && name.endsWith('.json')).map((name) => name.slice(0, -5))
    const dated = await Promise.all(keys.map(async (key) => ({ key, at: (await stat(join(this.directory, `${key}.json`))).mtimeMs })))
    for (const { key } of dated.sort((a, b) => b.at - a.at)) {
      const image = await this.read(key)
      if (image) return image
    }
    return undefined
  }

  /** The image under `key`, unless it is not there or its content is not what was built. */
  async read(key: string): Promise<GuestImage | undefined> {
    const path = join(this.directory, `${key}.qcow2`)
    try {
      const image: GuestImage = { ...JSON.parse(await readFile(join(this.directory, `${key}.json`), 'utf8')), path }
      return (await sha256Of(path)) === image.sha256 ? image : undefined
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new Fault(503, 'GuestBuildFailed', `The guest cache ${this.directory} cannot be read: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  /** Lets `build` make a qcow2 file in a directory of its own, and keeps it under `key`. */
  async make(key: string, build: (scratch: string) => Promise<Omit<GuestImage, 'sha256' | 'bytes'>>): Promise<GuestImage> {
    await mkdir(this.directory, { recursive: true })
    const scratch = await mkdtemp(join(this.directory, '.build-'))
    try {
      const built = await build(scratch)
      const image: GuestImage = {
        ...built,
        sha256: await sha256Of(built.path),
        bytes: (await stat(built.path)).size,
        path: join(this.directory, `${key}.qcow2`),
      }
      await rename(built.path, image.path)
      await writeFile(join(scratch, 'manifest'), `${JSON.stringify(image, null, 2)}\n`)
      await rename(join(scratch, 'manifest'), join(this.directory, `${key}.json`))
      return image
    } catch (error) {
      throw roomFault(error, this.directory)
    } finally {
      await rm(scratch, { recursive: true, force: true })
    }
  }
}

function roomFault(error: unknown, directory: string): unknown {
  return /No space left on device|ENOSPC/.test((error as Error).message)
    ? new Fault(507, 'DiskFull', `No room for building a guest in ${directory}; make some, or set XDG_CACHE_HOME to where there is room.`, {
        cause: error,
      })
    : error
}

/** @throws Fault 503 when this machine is not x86_64 or lacks one of the programs (name to the package that brings it) */
export async function checkMachine(image: string, programs: Record<string, string>): Promise<void> {
  if (process.arch !== 'x64')
    throw unavailable(
      `The ${image} guest is made for x86_64 processors; this machine is ${process.arch}. Upload an image of your own instead.`,
      'GuestBuildFailed',
    )
  const missing = new Set<string>()
  for (const [program, name] of Object.entries(programs)) if (!(await installed(program))) missing.add(name)
  if (missing.size > 0)
    throw unavailable(
      `Building the ${image} guest needs the packages ${[...missing].join(', ')}: apt-get install ${[...missing].join(' ')}`,
      'GuestBuildFailed',
    )
}

async function installed(program: string): Promise<boolean> {
  for (const directory of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'])
    if (
      await access(join(directory, program)).then(
        () => true,
        () => false,
      )
    )
      return true
  return false
}

/** Changes when any file that decides what the image becomes does: the guest's own files below `recipe` and the builder's modules. */
export async function recipeKey(recipe: string, modules: string[], settings: unknown = null): Promise<string> {
  const own = modules.map((name) => join(import.meta.dirname, name))
  const files = (await walk(recipe)).filter((entry) => entry.kind === 'file').map((entry) => join(recipe, entry.path))
  const parts: string[] = [JSON.stringify(settings)]
  for (const path of [...own, ...files]) parts.push(path.slice(import.meta.dirname.length), sha256(await readFile(path)))
  return digest(parts)
}

const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')
export const digest = (parts: string[]) => sha256(Buffer.from(JSON.stringify(parts))).slice(0, 12)

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(part)
  return hash.digest('hex')
}
