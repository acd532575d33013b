import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ExecError, exec } from '../../kernel/exec/exec.ts'

export interface Kvm {
  usable: boolean
  /** Why, as a sentence for a user. */
  why: string
}

export interface KvmOptions {
  /** Where the answer is kept: it holds while kernel, QEMU and processor are the same. */
  cacheFile: string
  device?: string
  qemu?: string
  timeoutMs?: number
  /** `tcg` shows that the guest itself is sound. */
  accelerator?: 'kvm' | 'tcg'
}

/** QEMU's exit code when the guest writes this to its debug port is twice that and one. */
const SIGN = 0x10
const BOOTED = SIGN * 2 + 1

/** A boot sector that stops the machine with {@link SIGN}: cli; mov dx, 0xf4; mov al, SIGN; out dx, al; hlt; jmp to the hlt. */
const GUEST = [0xfa, 0xba, 0xf4, 0x00, 0xb0, SIGN, 0xee, 0xf4, 0xeb, 0xfd]

/**
 * Whether guests run under KVM here. The device alone does not tell: on some machines guests hang or QEMU gives up, so one is started, with a time limit.
 * @throws Fault when QEMU is not installed
 */
export async function probeKvm(options: KvmOptions): Promise<Kvm> {
  const { cacheFile, device = '/dev/kvm', qemu = 'qemu-system-x86_64' } = options
  if (!existsSync(device))
    return {
      usable: false,
      why: `${device} is not there: guests are emulated, about ten times slower. Switch virtualization on in the firmware, or nested virtualization on the host above.`,
    }
  const key = [release(), processor(), (await exec(qemu, ['--version'])).stdout.split('\n')[0]!.trim()].join('; ')
  const known = read(cacheFile)
  if (known?.key === key) return { usable: known.usable, why: known.why }
  const answer = await start({ ...options, qemu })
  mkdirSync(dirname(cacheFile), { recursive: true })
  writeFileSync(cacheFile, `${JSON.stringify({ key, ...answer }, null, 2)}\n`)
  return answer
}

async function start({ qemu, timeoutMs = 3_000, accelerator = 'kvm' }: KvmOptions & { qemu: string }): Promise<Kvm> {
  const directory = mkdtempSync(join(tmpdir(), 'kvm-'))
  const disk = join(directory, 'boot.img')
  const sector = Buffer.alloc(512)
  sector.set(GUEST)
  sector.set([0x55, 0xaa], 510)
  writeFileSync(disk, sector)
  const args = [
    '-accel',
    accelerator,
    '-cpu',
    'max',
    '-nodefaults',
    '-no-reboot',
    '-display',
    'none',
    '-m',
    '16',
    '-device',
    'isa-debug-exit,iobase=0xf4,iosize=4',
  ]
  try {
    await exec(qemu, [...args, '-drive', `file=${disk},format=raw,if=floppy,readonly=on`], { timeoutMs, ok: [BOOTED] })
    return { usable: true, why: 'A guest starts under KVM.' }
  } catch (error) {
    if (!(error instanceof ExecError)) throw error
    const how =
      error.exitCode === null
        ? `had not started after ${timeoutMs / 1000} s`
        : `was ended by QEMU: ${error.stderr.trim().split('\n')[0] || `exit ${error.exitCode}`}`
    return { usable: false, why: `KVM is there, but a guest under it ${how}. Guests are emulated, about ten times slower.` }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function read(file: string): (Kvm & { key: string }) | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

const processor = (): string => /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor'
