import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MiB } from '../kernel/units/units.ts'
import { makeDisk, treeMiB } from './disk.ts'
import { type BuildOptions, checkMachine, defaultCacheDir, digest, type GuestImage, ImageCache, once, recipeKey } from './image-cache.ts'
import { fetchPackages, resolvePackages, unpackPackages } from './packages.ts'
import { kernelVersion, layOutRoot, makeInitrd } from './tree.ts'

/** Programs that the builder runs and the Debian packages that bring them. */
const PROGRAMS: Record<string, string> = {
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
const MODULES = ['build-tiny.ts', 'tree.ts', 'disk.ts', 'cpio.ts', 'modules.ts']
const MIN_RAM_MIB = 96
/** Free room in the root file system before it has grown. */
const ROOT_SLACK_MIB = 12

/**
 * Builds the tiny guest, a bootable x86_64 disk image made from Debian packages and the files in `tiny/`, or finds the one that an earlier call built from the
 * same recipe.
 * @throws Fault 503 when the machine is not x86_64, lacks a program or cannot reach its package mirror, 507 when the disk is full
 */
export function buildTinyGuest(options: BuildOptions = {}): Promise<GuestImage> {
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  return once(`tiny ${cacheDir}`, () => findOrBuild(cacheDir, options))
}

async function findOrBuild(cacheDir: string, options: BuildOptions): Promise<GuestImage> {
  const cache = new ImageCache(cacheDir)
  const recipe = await recipeKey(RECIPE, MODULES)
  const found = options.refresh ? undefined : await cache.newest(`tiny-${recipe}-`)
  if (found) return found
  await checkMachine('tiny', PROGRAMS)
  options.onProgress?.('asking apt for packages')
  const { packages } = await resolvePackages(PACKAGES, KERNEL)
  const key = `tiny-${recipe}-${digest(packages.map((each) => each.digest))}`
  const known = await cache.read(key)
  if (known) return known
  options.onProgress?.(
    `downloading ${packages.length} packages (${Math.round(packages.reduce((sum, each) => sum + each.bytes, 0) / MiB)} MiB)`,
  )
  const files = await fetchPackages(packages, join(cacheDir, 'packages'))
  return cache.make(key, async (scratch) => ({
    ...(await build(files, scratch, options)),
    packages: packages.map((each) => each.file),
  }))
}

async function build(files: string[], scratch: string, options: BuildOptions) {
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
      loader: {
        kind: 'syslinux',
        files: { vmlinuz, initrd, 'syslinux.cfg': join(RECIPE, 'boot/syslinux.cfg') },
        partitionMiB: Math.ceil(((await stat(vmlinuz)).size + (await stat(initrd)).size) / MiB) + 1,
      },
      root,
      rootMiB: (await treeMiB(root)) + ROOT_SLACK_MIB,
      rootFixes,
      journalMiB: 4,
    },
    join(scratch, 'disk.raw'),
    path,
  )
  return { path, virtualSizeMiB, minRamMiB: MIN_RAM_MIB, kernel }
}
