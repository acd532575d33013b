import { copyFile, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unavailable } from '../kernel/errors/errors.ts'
import { exec } from '../kernel/exec/exec.ts'
import { apt, withFreshIndex } from './packages.ts'

const SUITE = 'bookworm'
const PACKAGES = [
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'busybox', 'zstd', 'grub-pc-bin', 'grub2-common'],
  ...['systemd-sysv', 'systemd-resolved', 'udev', 'dbus', 'libpam-systemd'],
  ...['cloud-init', 'cloud-guest-utils', 'e2fsprogs', 'fdisk'],
  ...['openssh-server', 'sudo', 'iproute2', 'iputils-ping', 'netbase', 'ca-certificates'],
]
/** Run in the background by a machine that stays; a guest of minutes has better things to do in its first. */
const MASKED = ['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer', 'e2scrub_reap.service']
/** Of the machine that built it, of mmdebstrap, or what no two guests may share. */
const NOT_OF_THE_IMAGE = [
  ...['etc/hostname', 'etc/resolv.conf', 'var/lib/dbus/machine-id', 'var/lib/systemd/random-seed'],
  ...['etc/apt/apt.conf.d/99mmdebstrap', 'etc/dpkg/dpkg.cfg.d/99mmdebstrap', 'var/cache/ldconfig/aux-cache'],
  ...['vmlinuz.old', 'initrd.img.old'],
]
/** What GRUB must know before it can read more of itself from the root file system. */
const GRUB_CORE = ['biosdisk', 'part_msdos', 'ext2', 'linux', 'normal', 'configfile', 'serial', 'terminal', 'echo', 'test', 'boot']
const GRUB_HOME = 'boot/grub/i386-pc'
const LIMIT_MS = 45 * 60_000

/**
 * Installs Debian 12 into a directory, from the archive that this machine's own apt reads.
 * @param recipe directory with `own-files`, a program that puts the guest's own files in before packages are set up
 * @returns the packages as `name_version_arch`
 */
export async function installDebian(recipe: string, root: string): Promise<string[]> {
  const sources = `${root}.list`
  await writeFile(sources, `${(await archive()).join('\n')}\n`)
  const options = [
    ...['--variant=minbase', '--mode=root', '--format=directory', '--hook-directory=/usr/share/mmdebstrap/hooks/maybe-merged-usr'],
    ...[...(await waysOut()), 'Acquire::Languages "none"', 'APT::Install-Recommends "false"'].map((option) => `--aptopt=${option}`),
    ...[join(recipe, 'root/etc/dpkg/dpkg.cfg.d/guest'), 'force-unsafe-io'].map((option) => `--dpkgopt=${option}`),
    ...[`--include=${PACKAGES.join(',')}`, `--essential-hook=${join(recipe, 'own-files')}`],
  ]
  await apt('mmdebstrap', [...options, SUITE, root, sources], { timeoutMs: LIMIT_MS })
  const listing = ['--admindir', join(root, 'var/lib/dpkg'), '-W', '-f', `\${Package}_\${Version}_\${Architecture}\n`]
  return (await exec('dpkg-query', listing)).stdout.trim().split('\n')
}

/** Where this machine's apt gets Debian 12 from, as lines of a sources.list. @throws Fault 503 */
function archive(): Promise<string[]> {
  return withFreshIndex(async () => {
    const wanted = ['Identifier: Packages', 'Origin: Debian', 'Architecture: amd64', 'Component: main']
    const targets = await apt('apt-get', ['indextargets', '--format', '$(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)', ...wanted])
    const lines = targets.split('\n').filter((line) => line.startsWith(SUITE))
    if (!lines.some((line) => line.startsWith(`${SUITE} `)))
      throw unavailable(
        `This machine's apt has no source of Debian 12 (${SUITE}), which the debian guest is made of: add one below /etc/apt/sources.list.d and run apt-get update as root.`,
        'GuestBuildFailed',
      )
    return lines.map((line) => line.slice(line.indexOf(' ') + 1))
  })
}

/** Proxies and the like that this machine's apt is told to use. */
async function waysOut(): Promise<string[]> {
  const settings = await apt('apt-config', ['dump'])
  return settings.split('\n').filter((line) => /^Acquire::(https?|Retries|ForceIPv)/.test(line) && !line.endsWith(' "";'))
}

/** Takes off what is not of the image, and decides what starts in the guest. */
export async function settleRoot(root: string): Promise<void> {
  const keys = (await readdir(join(root, 'etc/ssh'))).filter((name) => name.startsWith('ssh_host_')).map((name) => `etc/ssh/${name}`)
  const indexes = (await readdir(join(root, 'var/cache/apt')))
    .filter((name) => name.endsWith('.bin'))
    .map((name) => `var/cache/apt/${name}`)
  for (const path of [...NOT_OF_THE_IMAGE, ...keys, ...indexes]) await rm(join(root, path), { force: true })
  // empty: filled at the first boot, without the rest of what systemd does to a machine that was never set up
  await writeFile(join(root, 'etc/machine-id'), '')
  await symlink('/run/systemd/resolve/stub-resolv.conf', join(root, 'etc/resolv.conf'))
  await inside(root, 'systemctl', 'enable', 'systemd-networkd.service', 'systemd-resolved.service')
  await inside(root, 'systemctl', 'mask', ...MASKED)
}

/**
 * All of GRUB but its first sectors' place on the disk: modules where grub-install would put them, and the core that finds them on the partition it was started from.
 * @returns where the boot sector and the core are
 */
export async function installGrub(recipe: string, root: string): Promise<{ boot: string; core: string }> {
  const [from, to] = [join(root, 'usr/lib/grub/i386-pc'), join(root, GRUB_HOME)]
  await mkdir(to, { recursive: true })
  for (const name of await readdir(from)) if (/\.(mod|lst)$|^boot\.img$/.test(name)) await copyFile(join(from, name), join(to, name))
  // not among the guest's own files: where there is one, setting up the kernel asks GRUB about a disk that is not there yet
  await copyFile(join(recipe, 'grub.cfg'), join(root, 'boot/grub/grub.cfg'))
  const where = ['-O', 'i386-pc', '-p', '(,msdos1)/boot/grub', '-o', `/${GRUB_HOME}/core.img`]
  await inside(root, 'grub-mkimage', ...where, ...GRUB_CORE)
  return { boot: join(to, 'boot.img'), core: join(to, 'core.img') }
}

const inside = (root: string, program: string, ...args: string[]) => exec('chroot', [root, program, ...args])
