import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Fault, unavailable } from '../kernel/errors/errors.ts'
import { MiB } from '../kernel/units/units.ts'
import { makeDisk } from './disk.ts'
import { fetchPackages, resolvePackages, unpackPackages } from './packages.ts'
import { kernelVersion, layOutRoot, makeInitrd, walk } from './tree.ts'

export interface TinyGuest {
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
  /** The Debian packages that it is made from, as `name_version_arch.deb`. */
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

/** Programs that the builder runs and the Debian packages that bring them. */
export const BUILD_PROGRAMS: Record<string, string> = {
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
  'mkfs.vfat': 'dosfstools',
  mcopy: 'mtools',
  syslinux: 'syslinux',
  mke2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  'qemu-img': 'qemu-utils',
}

const PACKAGES = ['busybox-static', 'dropbear-bin', 'e2fsprogs', 'coreutils']
const KERNEL = 'linux-image-cloud-amd64'
const RECIPE = join(import.meta.dirname, 'tiny')
const MIN_RAM_MIB = 96
/** Free room in the root file system before it has grown. */
const ROOT_SLACK_MIB = 12

const building = new Map<string, Promise<TinyGuest>>()

/**
 * Builds the tiny guest, a bootable x86_64 disk image made from Debian packages and the files in `tiny/`, or finds the one that an earlier call built from the
 * same recipe. A build that is interrupted leaves nothing that would be used.
 * @throws Fault 503 when the machine is not x86_64, lacks a program or cannot reach its package mirror
 */
export function buildTinyGuest(options: BuildOptions = {}): Promise<TinyGuest> {
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const running = building.get(cacheDir)
  if (running) return running
  const build = findOrBuild(cacheDir, options).finally(() => building.delete(cacheDir))
  building.set(cacheDir, build)
  return build
}

export function defaultCacheDir(): string {
  if (process.env.XDG_CACHE_HOME) return join(process.env.XDG_CACHE_HOME, 'yun')
  return process.getuid?.() === 0 ? '/var/cache/yun' : join(homedir(), '.cache/yun')
}

async function findOrBuild(cacheDir: string, options: BuildOptions): Promise<TinyGuest> {
  const images = join(cacheDir, 'guests')
  const recipe = await recipeKey()
  const found = options.refresh ? undefined : await newestImage(images, recipe)
  if (found) return found
  await checkMachine()
  options.onProgress?.('asking apt for packages')
  const { packages } = await resolvePackages(PACKAGES, KERNEL)
  const key = `tiny-${recipe}-${digest(packages.map((each) => each.digest)).slice(0, 12)}`
  const known = await readImage(images, key)
  if (known) return known
  options.onProgress?.(
    `downloading ${packages.length} packages (${Math.round(packages.reduce((sum, each) => sum + each.bytes, 0) / MiB)} MiB)`,
  )
  const files = await fetchPackages(packages, join(cacheDir, 'packages'))
  await mkdir(images, { recursive: true })
  const scratch = await mkdtemp(join(images, '.build-'))
  try {
    const built = await build(files, scratch, options)
    const guest: TinyGuest = { ...built, path: join(images, `${key}.qcow2`), packages: packages.map((each) => each.file) }
    await rename(built.path, guest.path)
    await writeFile(join(scratch, 'manifest'), `${JSON.stringify(guest, null, 2)}\n`)
    await rename(join(scratch, 'manifest'), join(images, `${key}.json`))
    return guest
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function build(files: string[], scratch: string, options: BuildOptions): Promise<Omit<TinyGuest, 'packages'>> {
  options.onProgress?.('unpacking packages')
  const sources = { packages: join(scratch, 'packages'), files: RECIPE }
  await unpackPackages(files, sources.packages)
  const kernel = await kernelVersion(sources.packages)
  options.onProgress?.(`laying out a guest with kernel ${kernel}`)
  const vmlinuz = join(sources.packages, 'boot', `vmlinuz-${kernel}`)
  const initrd = join(scratch, 'initrd')
  const root = join(scratch, 'root')
  await makeInitrd(sources, initrd)
  const rootFixes = await layOutRoot(sources, root)
  options.onProgress?.('making the disk')
  const path = join(scratch, 'tiny.qcow2')
  const virtualSizeMiB = await makeDisk(
    {
      boot: { vmlinuz, initrd, 'syslinux.cfg': join(RECIPE, 'boot/syslinux.cfg') },
      bootMiB: Math.ceil(((await stat(vmlinuz)).size + (await stat(initrd)).size) / MiB) + 1,
      root,
      rootMiB: Math.ceil((await treeBytes(root)) / MiB) + ROOT_SLACK_MIB,
      rootFixes,
    },
    join(scratch, 'disk.raw'),
    path,
  )
  const content = await readFile(path)
  return { path, sha256: sha256(content), bytes: content.length, virtualSizeMiB, minRamMiB: MIN_RAM_MIB, kernel }
}

async function checkMachine(): Promise<void> {
  if (process.arch !== 'x64')
    throw unavailable(
      `The tiny guest is made for x86_64 processors; this machine is ${process.arch}. Upload an image of your own instead.`,
      'GuestBuildFailed',
    )
  const missing = new Set<string>()
  for (const [program, name] of Object.entries(BUILD_PROGRAMS)) if (!(await installed(program))) missing.add(name)
  if (missing.size > 0)
    throw unavailable(`Building the tiny guest needs the packages ${[...missing].join(', ')}: apt-get install ${[...missing].join(' ')}`)
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

/** Changes when any file that decides what the image becomes does: the guest's own files and the builder itself. */
async function recipeKey(): Promise<string> {
  const own = ['build-tiny.ts', 'tree.ts', 'disk.ts', 'cpio.ts', 'modules.ts'].map((name) => join(import.meta.dirname, name))
  const recipe = (await walk(RECIPE)).filter((entry) => entry.kind === 'file').map((entry) => join(RECIPE, entry.path))
  const parts: string[] = []
  for (const path of [...own, ...recipe]) parts.push(path.slice(import.meta.dirname.length), sha256(await readFile(path)))
  return digest(parts).slice(0, 12)
}

async function newestImage(images: string, recipe: string): Promise<TinyGuest | undefined> {
  const names = await readdir(images).catch(() => [])
  const keys = names.filter((name) => name.startsWith(`tiny-${recipe}-`) && name.endsWith('.json')).map((name) => name.slice(0, -5))
  const dated = await Promise.all(keys.map(async (key) => ({ key, at: (await stat(join(images, `${key}.json`))).mtimeMs })))
  for (const { key } of dated.sort((a, b) => b.at - a.at)) {
    const image = await readImage(images, key)
    if (image) return image
  }
  return undefined
}

/** The image under `key`, unless it is not there or its content is not what was built. */
async function readImage(images: string, key: string): Promise<TinyGuest | undefined> {
  try {
    const guest: TinyGuest = { ...JSON.parse(await readFile(join(images, `${key}.json`), 'utf8')), path: join(images, `${key}.qcow2`) }
    return sha256(await readFile(guest.path)) === guest.sha256 ? guest : undefined
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Fault(503, 'GuestBuildFailed', `The guest cache ${images} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

async function treeBytes(root: string): Promise<number> {
  const block = 4096
  return (await walk(root)).reduce((sum, { kind, bytes }) => sum + (kind === 'file' ? Math.ceil(bytes / block) * block : block), 0)
}

const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')
const digest = (parts: string[]) => sha256(Buffer.from(JSON.stringify(parts)))
