import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { forbidden } from '../kernel/errors/errors.ts'
import { installDebian, installGrub, settleRoot } from './debian-root.ts'
import { makeDisk, treeMiB } from './disk.ts'
import { type BuildOptions, checkMachine, defaultCacheDir, type GuestImage, ImageCache, once, recipeKey } from './image-cache.ts'
import { kernelVersion } from './tree.ts'

/** Programs that the builder runs and the Debian packages that bring them. */
const PROGRAMS: Record<string, string> = {
  'apt-get': 'apt',
  mmdebstrap: 'mmdebstrap',
  'dpkg-query': 'dpkg',
  chroot: 'coreutils',
  mke2fs: 'e2fsprogs',
  'qemu-img': 'qemu-utils',
}

const RECIPE = join(import.meta.dirname, 'debian')
const MODULES = ['build-debian.ts', 'debian-root.ts', 'disk.ts']
const MIN_RAM_MIB = 384
/** Free room in the root file system before it has grown, and its own tables. */
const ROOT_SLACK_MIB = 192

/**
 * Builds a Debian 12 guest with cloud-init, a bootable x86_64 disk image made from Debian packages and the files in `debian/`, or finds the one that an earlier
 * call built from the same recipe.
 * @throws Fault 403 when not run as root, 503 when the machine is not x86_64, lacks a program or cannot reach its package mirror, 507 when the disk is full
 */
export function buildDebianGuest(options: BuildOptions = {}): Promise<GuestImage> {
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  return once(`debian ${cacheDir}`, () => findOrBuild(cacheDir, options))
}

async function findOrBuild(cacheDir: string, options: BuildOptions): Promise<GuestImage> {
  const cache = new ImageCache(cacheDir)
  const recipe = await recipeKey(RECIPE, MODULES)
  const found = options.refresh ? undefined : await cache.newest(`debian-${recipe}-`)
  if (found) return found
  await checkMachine('debian', PROGRAMS)
  if (process.getuid?.() !== 0)
    throw forbidden(
      'Packages of the debian guest are set up by their own scripts, which only root may start: run it with sudo.',
      'NeedsRoot',
    )
  return cache.make(`debian-${recipe}-${randomBytes(6).toString('hex')}`, (scratch) => build(scratch, options))
}

async function build(scratch: string, options: BuildOptions) {
  const root = join(scratch, 'root')
  options.onProgress?.('installing Debian 12 with cloud-init into a directory')
  const packages = await installDebian(RECIPE, root)
  await settleRoot(root)
  const grub = await installGrub(RECIPE, root)
  const kernel = await kernelVersion(root)
  options.onProgress?.(`making the disk of ${packages.length} packages with kernel ${kernel}`)
  const path = join(scratch, 'debian.qcow2')
  const parts = {
    loader: { kind: 'grub' as const, ...grub },
    root,
    rootMiB: (await treeMiB(root)) + ROOT_SLACK_MIB,
    rootFixes: [],
    journalMiB: 16,
  }
  const virtualSizeMiB = await makeDisk(parts, join(scratch, 'disk.raw'), path)
  return { path, virtualSizeMiB, minRamMiB: MIN_RAM_MIB, kernel, packages }
}
