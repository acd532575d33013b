import { DISK_LIMITS } from './domain-xml.ts'
import type { Affect, DiskJob, Libvirt } from './driver.ts'
import { flags, procedures } from './procedures.ts'
import { type Calls, quiet } from './real-calls.ts'

type Devices = Pick<Libvirt, 'attachDevice' | 'detachDevice' | 'updateDevice' | 'interfaceStats'>
type Disks = Pick<
  Libvirt,
  'resizeDisk' | 'limitDisk' | 'diskInfo' | 'diskStats' | 'snapshotDisks' | 'copyDisk' | 'commitDisk' | 'diskJob' | 'endDiskJob'
>

/** Of a typed parameter. */
const UNSIGNED_LONG = 4
const DISK_JOBS: DiskJob['type'][] = ['unknown', 'pull', 'copy', 'commit', 'active-commit', 'backup']

export function realDevices({ onDomain }: Calls): Devices {
  return {
    attachDevice: (uuid, xml, affect) =>
      onDomain(procedures.domainAttachDevice, `attach-device${shown(affect)} ${deviceIn(xml)} to`, uuid, (writer) =>
        writer.string(xml).int(affectFlags(affect)),
      ),
    detachDevice: (uuid, xml, affect) =>
      onDomain(procedures.domainDetachDevice, `detach-device${shown(affect)} ${deviceIn(xml)} from`, uuid, (writer) =>
        writer.string(xml).int(affectFlags(affect)),
      ),
    updateDevice: (uuid, xml, affect) =>
      onDomain(procedures.domainUpdateDevice, `update-device${shown(affect)} ${deviceIn(xml)} of`, uuid, (writer) =>
        writer.string(xml).int(affectFlags(affect)),
      ),
    interfaceStats: (uuid, device) =>
      onDomain(
        procedures.domainInterfaceStats,
        `ifstats ${device} of`,
        uuid,
        (writer) => writer.string(device),
        (reply) => ({
          rxBytes: reply.signedHyper(),
          rxPackets: reply.signedHyper(),
          rxErrors: reply.signedHyper(),
          rxDrops: reply.signedHyper(),
          txBytes: reply.signedHyper(),
          txPackets: reply.signedHyper(),
          txErrors: reply.signedHyper(),
          txDrops: reply.signedHyper(),
        }),
        quiet,
      ),
  }
}

export function realDisks({ onDomain, long }: Calls): Disks {
  return {
    resizeDisk: (uuid, disk, bytes) =>
      onDomain(procedures.domainBlockResize, `blockresize ${disk} ${bytes} of`, uuid, (writer) =>
        writer.string(disk).hyper(bytes).int(flags.blockResizeBytes),
      ),
    limitDisk: (uuid, disk, limits, affect) =>
      onDomain(procedures.domainSetBlockIoTune, `blkdeviotune${shown(affect)} ${disk} of`, uuid, (writer) => {
        writer.string(disk).int(DISK_LIMITS.length) // what is not named would stay as it was
        for (const name of DISK_LIMITS)
          writer
            .string(name)
            .int(UNSIGNED_LONG)
            .hyper(limits[name] ?? 0)
        return writer.int(affectFlags(affect))
      }),
    diskInfo: (uuid, disk) =>
      onDomain(
        procedures.domainGetBlockInfo,
        `blockinfo ${disk} of`,
        uuid,
        (writer) => writer.string(disk).int(0),
        (reply) => {
          const allocation = reply.hyper()
          return { allocation, capacity: reply.hyper(), physical: reply.hyper() }
        },
        quiet,
      ),
    diskStats: (uuid, disk) =>
      onDomain(
        procedures.domainBlockStats,
        `blockstats ${disk} of`,
        uuid,
        (writer) => writer.string(disk),
        (reply) => ({
          readRequests: reply.signedHyper(),
          readBytes: reply.signedHyper(),
          writeRequests: reply.signedHyper(),
          writeBytes: reply.signedHyper(),
          errors: reply.signedHyper(),
        }),
        quiet,
      ),
    snapshotDisks: (uuid, xml, { reuse = false, quiesce = false } = {}) =>
      onDomain(
        procedures.domainSnapshotCreate,
        'snapshot-create --disk-only --no-metadata',
        uuid,
        (writer) =>
          writer
            .string(xml)
            .int(
              flags.snapshotNoMetadata |
                flags.snapshotDiskOnly |
                flags.snapshotAtomic |
                (reuse ? flags.snapshotReuseExternal : 0) |
                (quiesce ? flags.snapshotQuiesce : 0),
            ),
        undefined,
        long,
      ),
    copyDisk: (uuid, disk, toXml, { shallow = false, reuse = false } = {}) =>
      onDomain(procedures.domainBlockCopy, `blockcopy ${disk} of`, uuid, (writer) =>
        writer
          .string(disk)
          .string(toXml)
          .int(0) // no parameters
          .int(flags.copyTransient | (shallow ? flags.copyShallow : 0) | (reuse ? flags.copyReuseExternal : 0)),
      ),
    commitDisk: (uuid, disk) =>
      onDomain(procedures.domainBlockCommit, `blockcommit ${disk} --active --shallow of`, uuid, (writer) =>
        // Without shallow it would commit down into the base image, which others share.
        writer
          .string(disk)
          .int(0)
          .int(0)
          .hyper(0)
          .int(flags.commitActive | flags.commitShallow),
      ),
    diskJob: (uuid, disk) =>
      onDomain(
        procedures.domainGetBlockJobInfo,
        `blockjob ${disk} of`,
        uuid,
        (writer) => writer.string(disk).int(0),
        (reply) => {
          if (reply.int() !== 1) return null
          const type = DISK_JOBS[reply.int()] ?? 'unknown'
          reply.hyper() // bandwidth
          return { type, current: reply.hyper(), end: reply.hyper() }
        },
        quiet,
      ),
    endDiskJob: (uuid, disk, { pivot = false } = {}) =>
      onDomain(procedures.domainBlockJobAbort, `blockjob ${disk} --${pivot ? 'pivot' : 'abort'} of`, uuid, (writer) =>
        writer.string(disk).int(pivot ? flags.jobAbortPivot : 0),
      ),
  }
}

export const affectFlags = ({ live, config }: Affect) => (live ? flags.affectLive : 0) | (config ? flags.affectConfig : 0)
export const shown = ({ live, config }: Affect) => `${live ? ' --live' : ''}${config ? ' --config' : ''}`
/** `disk vdb`, `interface tap3f2a90c1-7e`: for notes, which must not hold the XML itself. */
const deviceIn = (xml: string) =>
  `${/^\s*<(\w+)/.exec(xml)?.[1] ?? 'device'}${(/<target\b[^>]*\bdev=['"]([^'"]*)/.exec(xml)?.[1] ?? '').replace(/^/, ' ')}`.trimEnd()
