import { chmod, copyFile, lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { exec } from '../kernel/exec/exec.ts'
import { type CpioEntry, cpioArchive } from './cpio.ts'
import { type KernelModule, modulesInLoadOrder } from './modules.ts'

/** Drivers without which no root disk is found (and the host's random numbers, without which the ssh host key waits a second), and those a root disk on SCSI or IDE needs besides. */
const BOOT_MODULES = ['virtio_pci', 'virtio_rng', 'virtio_blk', 'virtio_net']
const SCSI_BOOT_MODULES = ['virtio_scsi', 'sd_mod', 'ata_piix']
const PROGRAMS = ['dropbear', 'dropbearkey', 'dbclient', 'mke2fs', 'resize2fs', 'e2fsck']
const ALIASES: Record<string, string> = {
  ssh: 'dbclient',
  'mkfs.ext2': 'mke2fs',
  'mkfs.ext3': 'mke2fs',
  'mkfs.ext4': 'mke2fs',
  'fsck.ext4': 'e2fsck',
}
const DIRECTORIES = ['proc', 'sys', 'dev', 'run', 'mnt', 'tmp', 'root', 'home/cirros', 'etc/dropbear', 'var/log', 'var/lib/guest', 'lib64']
/** One directory of programs and one of libraries, under all their customary names. */
const LINKS: Record<string, string> = {
  sbin: 'bin',
  'usr/bin': '../bin',
  'usr/sbin': '../bin',
  'usr/lib': '../lib',
  'var/run': '../run',
  'var/tmp': '../tmp',
  'etc/mtab': '/proc/mounts',
}
/** User and group id of user cirros, as in etc/passwd. */
const CIRROS = 1000
const SUDO_PROGRAM = 'lib/guest/chroot'
const LIBRARY_DIRECTORIES = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu']

/** What the guest is made from. */
export interface Sources {
  /** Unpacked Debian packages. */
  packages: string
  /** Directory of the guest's own files: `initrd/` and `root/`. */
  files: string
}

/** The kernel's version, e.g. `6.1.0-56-cloud-amd64`. */
export async function kernelVersion(packages: string): Promise<string> {
  const kernel = (await readdir(join(packages, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
  return kernel!.slice('vmlinuz-'.length)
}

/** Writes the first file system (cpio, not compressed: unpacking costs more than reading where the processor is emulated) to `target`. */
export async function makeInitrd(sources: Sources, target: string): Promise<void> {
  const tree = join(sources.packages, 'lib/modules', await kernelVersion(sources.packages))
  const virtio = await modulesInLoadOrder(tree, BOOT_MODULES)
  const scsi = (await modulesInLoadOrder(tree, SCSI_BOOT_MODULES)).filter((module) => !virtio.some(({ name }) => name === module.name))
  const list = (modules: KernelModule[]) => Buffer.from(modules.map(({ name }) => `/modules/${name}.ko\n`).join(''))
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'proc', 'sys', 'run', 'root', 'modules'].map((path): CpioEntry => ({ path, kind: 'directory' })),
    { path: 'init', kind: 'file', executable: true, content: await readFile(join(sources.files, 'initrd/init')) },
    { path: 'bin/busybox', kind: 'file', executable: true, content: await readFile(await find(sources.packages, 'busybox')) },
    ...(await applets(sources)).map((name): CpioEntry => ({ path: `bin/${name}`, kind: 'link', target: 'busybox' })),
    { path: 'modules/virtio', kind: 'file', content: list(virtio) },
    { path: 'modules/scsi', kind: 'file', content: list(scsi) },
  ]
  for (const { name, path } of [...virtio, ...scsi])
    entries.push({ path: `modules/${name}.ko`, kind: 'file', content: await readFile(path) })
  await writeFile(target, cpioArchive(entries))
}

/**
 * Lays out the root file system in directory `target`.
 * @returns the debugfs commands that give every file its owner, so that the builder needs not be root
 */
export async function layOutRoot(sources: Sources, target: string): Promise<string[]> {
  for (const path of ['bin', 'etc', 'lib', 'usr', 'var', ...DIRECTORIES]) await mkdir(join(target, path), { recursive: true })
  for (const [path, to] of Object.entries(LINKS)) await symlink(to, join(target, path))
  await copyOwnFiles(join(sources.files, 'root'), target)
  await install(await find(sources.packages, 'busybox'), join(target, 'bin/busybox'))
  for (const program of PROGRAMS) await install(await find(sources.packages, program), join(target, 'bin', program))
  for (const [name, to] of [...Object.entries(ALIASES), ...(await applets(sources)).map((applet) => [applet, 'busybox'] as const)])
    await symlink(to, join(target, 'bin', name)).catch(keepExisting)
  await copyLibraries(sources, target)
  await copyModules(sources, target)
  await copyFile(join(sources.packages, 'etc/mke2fs.conf'), join(target, 'etc/mke2fs.conf'))
  // set-uid for ping, su and passwd; busybox gives the rights up in everything else
  await chmod(join(target, 'bin/busybox'), 0o4755)
  // `chroot --userspec 0:0 /` is what sudo is made of: for group cirros alone
  await install(await find(sources.packages, 'chroot'), join(target, SUDO_PROGRAM))
  await chmod(join(target, SUDO_PROGRAM), 0o4750)
  await chmod(join(target, 'etc/shadow'), 0o600)
  await chmod(join(target, 'root'), 0o700)
  await chmod(join(target, 'tmp'), 0o1777)
  return ownerCommands(target)
}

const keepExisting = (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EEXIST') throw error
}

async function ownerCommands(root: string): Promise<string[]> {
  // debugfs would follow a symbolic link and change the owner of what it points to
  const entries = (await walk(root)).filter((entry) => entry.kind !== 'link')
  return entries.flatMap(({ path }) => {
    const home = path === 'home/cirros' || path.startsWith('home/cirros/')
    const group = home || path === SUDO_PROGRAM ? CIRROS : 0
    return [`sif "/${path}" uid ${home ? CIRROS : 0}`, `sif "/${path}" gid ${group}`]
  })
}

/** Everything below `root`, links not followed (as `readdir` with `recursive` would). */
export async function walk(root: string, below = ''): Promise<{ path: string; kind: 'file' | 'directory' | 'link'; bytes: number }[]> {
  const found: Awaited<ReturnType<typeof walk>> = []
  for (const name of (await readdir(join(root, below))).sort()) {
    const path = join(below, name)
    const stat = await lstat(join(root, path))
    const kind = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'link' : 'file'
    found.push({ path, kind, bytes: stat.size })
    if (kind === 'directory') found.push(...(await walk(root, path)))
  }
  return found
}

async function copyOwnFiles(from: string, to: string): Promise<void> {
  for (const { path, kind } of await walk(from)) {
    if (kind === 'directory') await mkdir(join(to, path), { recursive: true })
    else {
      const content = await readFile(join(from, path))
      await writeFile(join(to, path), content)
      await chmod(join(to, path), content.toString('latin1', 0, 2) === '#!' ? 0o755 : 0o644)
    }
  }
}

async function install(from: string, to: string): Promise<void> {
  await copyFile(from, to)
  await chmod(to, 0o755)
}

/** The libraries that the programs ask for, as the guest's own loader finds them among the packages. */
async function copyLibraries(sources: Sources, target: string): Promise<void> {
  const paths = LIBRARY_DIRECTORIES.map((directory) => join(sources.packages, directory))
  const loader = await find(sources.packages, 'ld-linux-x86-64.so.2', LIBRARY_DIRECTORIES)
  await install(loader, join(target, 'lib64/ld-linux-x86-64.so.2'))
  const found = new Set<string>()
  for (const program of PROGRAMS) {
    const listing = await exec(loader, ['--library-path', paths.join(':'), '--list', join(target, 'bin', program)])
    for (const [, path] of listing.stdout.matchAll(/=> (\S+) \(/g)) if (!path!.includes('/ld-linux-')) found.add(path!)
  }
  for (const path of found) await install(path, join(target, 'lib', basename(path)))
}

/** Only what `etc/modules` asks for and the boot drivers, flat, with the index that modprobe reads. */
async function copyModules(sources: Sources, target: string): Promise<void> {
  const version = await kernelVersion(sources.packages)
  const wanted = (await readFile(join(sources.files, 'root/etc/modules'), 'utf8')).split('\n').filter(Boolean)
  const modules = await modulesInLoadOrder(join(sources.packages, 'lib/modules', version), [
    ...BOOT_MODULES,
    ...SCSI_BOOT_MODULES,
    ...wanted,
  ])
  const directory = join(target, 'lib/modules', version)
  await mkdir(directory, { recursive: true })
  for (const { name, path } of modules) await copyFile(path, join(directory, `${name}.ko`))
  const index = modules.map(
    (module) =>
      `${module.name}.ko:${allNeeds(module, modules)
        .map((need) => ` ${need}.ko`)
        .join('')}\n`,
  )
  await writeFile(join(directory, 'modules.dep'), index.join(''))
}

/** Nearest first, as modprobe wants them: it loads from the end. */
function allNeeds(module: KernelModule, all: KernelModule[]): string[] {
  const needed = new Set<string>()
  const visit = (name: string) => {
    for (const need of all.find((each) => each.name === name)?.needs ?? []) visit(need)
    needed.add(name)
  }
  visit(module.name)
  return [...needed].reverse().slice(1)
}

async function applets(sources: Sources): Promise<string[]> {
  const listing = await exec(await find(sources.packages, 'busybox'), ['--list'])
  return listing.stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')
}

async function find(tree: string, name: string, directories = ['bin', 'sbin', 'usr/bin', 'usr/sbin']): Promise<string> {
  for (const directory of directories) {
    const path = join(tree, directory, name)
    if ((await lstat(path).catch(() => undefined))?.isFile()) return path
  }
  throw new Error(`${name} is in none of the packages unpacked in ${tree}`)
}
