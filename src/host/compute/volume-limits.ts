import type { VolumeConnection } from '../../compute/rpc.ts'
import { DISK_LIMITS, type DiskLimits, DISK_RATES as RATES } from '../../drivers/libvirt/domain-xml.ts'
import { badRequest } from '../../kernel/errors/errors.ts'

/** Of a volume's QoS specs whatever has a name that QEMU knows: the others are for somebody else. @throws Fault 400 for what QEMU would not take */
export function volumeLimits({ volumeId, qos }: VolumeConnection): DiskLimits {
  const named = DISK_LIMITS.filter((name) => qos?.[name] !== undefined)
  const wrong = named.find((name) => !/^\d{1,15}$/.test(qos![name]!))
  const limits = Object.fromEntries(named.map((name) => [name, Number(qos![name])]))
  const problem = wrong ? `say ${wrong}=${JSON.stringify(qos![wrong])}, which is no whole number` : contradictionIn(limits)
  if (problem) throw badRequest(`The QoS specs of volume ${volumeId} ${problem}.`, 'BadQos')
  return limits
}

/** 0 is no limit. */
function contradictionIn(limits: DiskLimits): string | undefined {
  const isSet = (name: keyof DiskLimits) => Boolean(limits[name])
  for (const unit of ['bytes', 'iops'] as const)
    for (const tail of ['sec', 'sec_max'] as const)
      for (const one of [`read_${unit}_${tail}`, `write_${unit}_${tail}`] as const)
        if (isSet(`total_${unit}_${tail}`) && isSet(one)) return `limit total_${unit}_${tail} and ${one} at the same time`
  for (const rate of RATES) {
    const most = limits[`${rate}_max`]
    if (most && most <= (limits[rate] || most)) return `say ${rate}_max=${most}, which must be more than ${rate}`
    if (isSet(`${rate}_max_length`) && !most) return `say ${rate}_max_length without ${rate}_max`
  }
  if (isSet('size_iops_sec') && !RATES.some((rate) => rate.includes('iops') && isSet(rate)))
    return 'say size_iops_sec and limit no requests'
  return undefined
}
