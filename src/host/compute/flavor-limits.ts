import type { FlavorSpec } from '../../compute/rpc.ts'
import type { DiskLimits, DomainDescription } from '../../drivers/libvirt/domain-xml.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { LIMIT_IDS } from '../network/names.ts'

/** What a flavor's extra specs say about its guests' share of the host, in Nova's names. */
const SHARES_PER_VCPU = 1024
/** More is refused where control groups have weights. */
const MOST_SHARES = 10_000

function quota({ name, extraSpecs }: FlavorSpec, key: string): number | undefined {
  const text = extraSpecs[`quota:${key}`]
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || (value < 0 && key !== 'cpu_quota'))
    throw badRequest(`Flavor ${name} has quota:${key}=${JSON.stringify(text)}, which is no whole number.`, 'BadFlavor')
  return value
}

export function cpuTuneOf(flavor: FlavorSpec): NonNullable<DomainDescription['cpuTune']> {
  return {
    shares: quota(flavor, 'cpu_shares') ?? Math.min(SHARES_PER_VCPU * flavor.vcpus, MOST_SHARES),
    period: quota(flavor, 'cpu_period'),
    quota: quota(flavor, 'cpu_quota'),
  }
}

const KILOBYTE_BITS = 8

/** Of each of the guest's ports, for the network's agent to hold: kbit/s, as external ids of the port in the switch. Peaks are not told apart from averages. */
export function vifLimitsOf(flavor: FlavorSpec): Record<string, string> {
  const [inbound, outbound] = [quota(flavor, 'vif_inbound_average'), quota(flavor, 'vif_outbound_average')]
  return {
    ...(inbound ? { [LIMIT_IDS.ingress]: String(inbound * KILOBYTE_BITS) } : {}),
    ...(outbound ? { [LIMIT_IDS.egress]: String(outbound * KILOBYTE_BITS) } : {}),
  }
}

export function diskLimitsOf(flavor: FlavorSpec): DiskLimits {
  return {
    total_bytes_sec: quota(flavor, 'disk_total_bytes_sec'),
    read_bytes_sec: quota(flavor, 'disk_read_bytes_sec'),
    write_bytes_sec: quota(flavor, 'disk_write_bytes_sec'),
    total_iops_sec: quota(flavor, 'disk_total_iops_sec'),
    read_iops_sec: quota(flavor, 'disk_read_iops_sec'),
    write_iops_sec: quota(flavor, 'disk_write_iops_sec'),
  }
}
