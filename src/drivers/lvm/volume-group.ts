import { existsSync, mkdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { exec } from '../../kernel/exec/exec.ts'
import { GiB } from '../../kernel/units/units.ts'
import { logicalVolumes, lvm } from './commands.ts'

/** Why LVM cannot be used on this machine, in words; null if it can. */
export async function lvmObstacle(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'logical volumes need root'
  try {
    await exec('modprobe', ['--quiet', 'dm-mod']).catch(() => {}) // built in, or not there: the next question tells
    const { stdout } = await exec('dmsetup', ['version'], { timeoutMs: 5_000 })
    return /Driver version/.test(stdout) ? null : 'the kernel has no device mapper'
  } catch (error) {
    return `the kernel has no device mapper (${(error as Error).message.split('\n')[0]})`
  }
}

/**
 * Sees to it that the volume group is there. One that the operator made is used as it is; without one, a sparse file of `sizeGiB` behind a loop device is its only
 * disk, attached again after a reboot. With `thin` a pool over nearly all of it is made too.
 */
export async function ensureVolumeGroup(options: { group: string; file: string; sizeGiB: number; thin: boolean }): Promise<void> {
  const { group, file, sizeGiB } = options
  if (existsSync(file)) await attach(file)
  if (!(await hasGroup(group))) {
    mkdirSync(dirname(file), { recursive: true })
    await (await open(file, 'a', 0o600)).close()
    const handle = await open(file, 'r+')
    await handle.truncate(sizeGiB * GiB).finally(() => handle.close())
    const device = await attach(file)
    await lvm('pvcreate', ['--yes', device])
    await lvm('vgcreate', ['--yes', group, device])
  }
  if (options.thin && !(await logicalVolumes(group)).some((one) => one.name === 'pool'))
    await lvm('lvcreate', ['--yes', '--type', 'thin-pool', '--extents', '95%FREE', '--name', 'pool', group])
}

async function hasGroup(group: string): Promise<boolean> {
  const { stdout } = await lvm('vgs', ['--noheadings', '-o', 'vg_name'])
  return stdout.split('\n').some((line) => line.trim() === group)
}

/** The loop device of the file, a new one if it has none. */
async function attach(file: string): Promise<string> {
  const { stdout } = await exec('losetup', ['--noheadings', '--output', 'NAME', '--associated', file])
  const known = stdout.split('\n')[0]?.trim()
  if (known) return known
  return (await exec('losetup', ['--find', '--show', file])).stdout.trim()
}
