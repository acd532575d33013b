import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type CpioEntry, cpioArchive } from '../../guest/cpio.ts'
import { defaultCacheDir } from '../../guest/image-cache.ts'
import { modulesInLoadOrder } from '../../guest/modules.ts'
import { fetchPackages, resolvePackages, unpackPackages } from '../../guest/packages.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { GiB } from '../../kernel/units/units.ts'

const KERNEL = 'linux-image-amd64'
/** What the guest needs before it can load modules itself. */
const FIRST_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio_blk']
const EXIT = /^YUN-GUEST-EXIT (\d+)\s*$/m

export interface GuestRun {
  /** A shell command; it runs as root in the guest, whose root directory is this machine's, with all writes kept in memory. */
  command: string
  /** GiB of an empty disk, /dev/vda in the guest. */
  diskGiB: number
  memoryMiB?: number
  timeoutMs?: number
}

/**
 * Runs a command under Debian's own kernel, for what the kernel of this machine lacks: an emulated guest that uses this machine's programs and files over 9p,
 * read-only. Returns what the console showed.
 */
export async function runInGuest(run: GuestRun): Promise<{ output: string; code: number }> {
  const kernel = await debianKernel()
  const scratch = await mkdtemp(join(tmpdir(), 'yun-kernel-guest-'))
  try {
    const [initrd, disk, script] = ['initrd', 'disk', 'run.sh'].map((name) => join(scratch, name)) as [string, string, string]
    await writeFile(script, `${run.command}\necho "YUN-GUEST-EXIT $?"\n`)
    await writeFile(initrd, await makeInitrd(kernel, script))
    await writeFile(disk, '')
    await truncate(disk, run.diskGiB * GiB)
    const output = await boot(kernel, initrd, disk, run)
    const code = EXIT.exec(output)?.[1]
    if (code === undefined) throw new Error(`the guest ended before its command did:\n${output.slice(-4000)}`)
    return { output: output.replace(EXIT, ''), code: Number(code) }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

interface Kernel {
  version: string
  vmlinuz: string
  modules: string
}

/** The distribution's full kernel, downloaded and unpacked once. */
export async function debianKernel(): Promise<Kernel> {
  const cache = join(defaultCacheDir(), 'kernels')
  const { kernel, packages } = await resolvePackages(['busybox-static'], KERNEL)
  const wanted = packages.find((one) => one.name === kernel)!
  const tree = join(cache, basename(wanted.file, '.deb'))
  const version = kernel.replace('linux-image-', '')
  if (!existsSync(tree)) {
    const [file] = await fetchPackages([wanted], join(defaultCacheDir(), 'packages'))
    await mkdir(cache, { recursive: true })
    const fresh = await mkdtemp(join(cache, '.unpack-'))
    await unpackPackages([file!], fresh)
    await exec('depmod', ['--basedir', fresh, version])
    await rename(fresh, tree)
  }
  return { version, vmlinuz: join(tree, 'boot', `vmlinuz-${version}`), modules: join(tree, 'lib/modules', version) }
}

async function makeInitrd(kernel: Kernel, script: string): Promise<Buffer> {
  const modules = await modulesInLoadOrder(kernel.modules, FIRST_MODULES)
  const file = (path: string, content: Uint8Array, executable = false): CpioEntry => ({ path, kind: 'file', content, executable })
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'proc', 'sys', 'm', 'lower', 'over', 'new'].map((path): CpioEntry => ({ path, kind: 'directory' })),
    file('bin/busybox', await readFile('/usr/bin/busybox'), true),
    file(
      'init',
      Buffer.from(
        init(
          kernel,
          modules.map((one) => basename(one.path)),
          script,
        ),
      ),
      true,
    ),
  ]
  for (const module of modules) entries.push(file(`m/${basename(module.path)}`, await readFile(module.path)))
  return cpioArchive(entries)
}

const init = (kernel: Kernel, modules: string[], script: string) => `#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in ${modules.join(' ')}; do $B insmod /m/$m; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 root /lower || $B poweroff -f
$B mount -t tmpfs over /over; $B mkdir -p /over/upper /over/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work over /new
for d in proc sys dev; do $B mkdir -p /new/$d; $B mount --move /$d /new/$d; done
$B mkdir -p /new/run; $B mount -t tmpfs run /new/run
$B mkdir -p /new/dev/pts /new/dev/shm /new/run/lvm /new/run/lock /new/usr/lib/modules/${kernel.version}
$B mount -t devpts pts /new/dev/pts; $B mount -t tmpfs shm /new/dev/shm
$B mount --bind /new${kernel.modules} /new/usr/lib/modules/${kernel.version}
$B cp /lower${script} /new/run/script
exec $B switch_root /new /bin/sh -c '
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ip link set lo up
/lib/systemd/systemd-udevd --daemon; udevadm trigger; udevadm settle
sh /run/script 2>&1
sync; echo o > /proc/sysrq-trigger; while :; do :; done'
`

function boot(kernel: Kernel, initrd: string, disk: string, { memoryMiB = 1536, timeoutMs = 300_000 }: GuestRun): Promise<string> {
  const args = [
    ...[
      '-accel',
      'tcg,thread=multi',
      '-cpu',
      'max',
      '-m',
      String(memoryMiB),
      '-smp',
      '2',
      '-nographic',
      '-no-reboot',
      '-nodefaults',
      '-serial',
      'stdio',
    ],
    ...['-kernel', kernel.vmlinuz, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1'],
    ...[
      '-fsdev',
      'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap',
      '-device',
      'virtio-9p-pci,fsdev=root,mount_tag=root',
    ],
    ...['-drive', `file=${disk},if=virtio,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap`],
  ]
  return new Promise((resolve, reject) => {
    const guest = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    const text = () => Buffer.concat(chunks).toString('utf8').replaceAll('\r\n', '\n')
    const timer = setTimeout(() => {
      guest.kill('SIGKILL')
      reject(new Error(`the guest did not end within ${timeoutMs} ms:\n${text().slice(-4000)}`))
    }, timeoutMs)
    guest.stdout.on('data', (chunk) => chunks.push(chunk))
    guest.stderr.on('data', (chunk) => chunks.push(chunk))
    guest.on('error', reject)
    guest.on('close', () => {
      clearTimeout(timer)
      resolve(text())
    })
  })
}
