import { conflict, Fault } from '../../kernel/errors/errors.ts'
import { ExecError, type ExecResult, exec } from '../../kernel/exec/exec.ts'

/** A logical volume as `lvs` reports it; sizes in bytes. */
export interface LogicalVolume {
  name: string
  bytes: number
  /** Of a copy-on-write snapshot: what its origin has. */
  originBytes: number | null
  origin: string | null
  pool: string | null
  /** Some program, a target daemon for one, has it open. */
  open: boolean
  /** Of a thin pool: how much of it is used. */
  dataPercent: number | null
}

const QUIET = { LVM_SUPPRESS_FD_WARNINGS: '1' }
const TIMEOUT = 120_000

/** Runs one of LVM's commands. @throws Fault 507 NoSpace, 409 VolumeInUse, else what LVM said */
export async function lvm(command: string, args: string[]): Promise<ExecResult> {
  try {
    return await exec(command, args, { env: QUIET, timeoutMs: TIMEOUT })
  } catch (error) {
    if (!(error instanceof ExecError)) throw error
    if (/insufficient free space|insufficient free extents|not enough free|exceeds the size of thin pool/i.test(error.stderr))
      throw new Fault(507, 'NoSpace', `the volume group is full: ${error.stderr.trim()}`, { cause: error })
    if (/in use|is used by another device/i.test(error.stderr)) throw conflict(error.stderr.trim(), 'VolumeInUse')
    throw error
  }
}

export async function logicalVolumes(group: string): Promise<LogicalVolume[]> {
  const columns = 'lv_name,lv_size,origin_size,origin,pool_lv,lv_device_open,data_percent'
  const { stdout } = await lvm('lvs', ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', columns, group])
  return readLogicalVolumes(stdout)
}

export function readLogicalVolumes(json: string): LogicalVolume[] {
  return JSON.parse(json).report[0].lv.map((row: Record<string, string>) => ({
    name: row.lv_name!,
    bytes: Number(row.lv_size),
    originBytes: row.origin_size ? Number(row.origin_size) : null,
    origin: row.origin || null,
    pool: row.pool_lv || null,
    open: row.lv_device_open === 'open',
    dataPercent: row.data_percent ? Number(row.data_percent) : null,
  }))
}

/** Bytes of the volume group: all, and not yet given away. @throws Fault when there is none of this name */
export async function groupSpace(group: string): Promise<{ total: number; free: number }> {
  const { stdout } = await lvm('vgs', ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', 'vg_size,vg_free', group])
  const row = JSON.parse(stdout).report[0].vg[0]
  return { total: Number(row.vg_size), free: Number(row.vg_free) }
}

/** `vg/lv` as device mapper names it: single dashes between the parts, double ones within. */
export const mapperPath = (group: string, volume: string, layer = ''): string =>
  `/dev/mapper/${[group, volume].map((part) => part.replaceAll('-', '--')).join('-')}${layer && `-${layer}`}`
