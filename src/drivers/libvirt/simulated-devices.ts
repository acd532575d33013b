import { existsSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DISK_LIMITS } from './domain-xml.ts'
import type { Affect, Libvirt } from './driver.ts'
import { libvirtError, libvirtFault } from './errors.ts'
import { bootDevices, cloneOf, deviceKey } from './simulated-machine.ts'
import type { SimulatedDomain, SimulatedWorld } from './simulated-world.ts'
import { type Element, element, find, first, parseXml, printXml } from './xml.ts'

type Devices = Pick<Libvirt, 'attachDevice' | 'detachDevice' | 'updateDevice' | 'interfaceStats'>
type Disks = Pick<
  Libvirt,
  'resizeDisk' | 'limitDisk' | 'diskInfo' | 'diskStats' | 'snapshotDisks' | 'copyDisk' | 'commitDisk' | 'diskJob' | 'endDiskJob'
>

/** The twin's calls about devices. `letsGo` says whether guests let go of what is pulled. */
export function simulatedDevices(world: SimulatedWorld, letsGo: () => boolean): Devices {
  const { change, look, domainOf, nameOf, running, edit, emit, network } = world
  const shown = ({ live, config }: Affect) => `${live ? ' --live' : ''}${config ? ' --config' : ''}`
  const titleOf = (xml: string) => {
    const device = parseXml(xml)
    return `${device.name} ${first(device, 'target')?.attributes.dev ?? ''}`.trimEnd()
  }

  return {
    attachDevice: (uuid, xml, affect) =>
      change('attachDevice', `attach-device${shown(affect)} ${titleOf(xml)} to ${nameOf(uuid)}`, () => {
        const device = parseXml(xml)
        const domain = domainOf(uuid, 'attach-device')
        edit(domain, affect, 'attach-device', (devices) => {
          if (devices.children.some((each) => deviceKey(each) === deviceKey(device)))
            throw libvirtFault(
              libvirtError.operationFailed,
              `operation failed: ${deviceKey(device)} already exists`,
              `attach-device ${domain.name}`,
            )
          devices.children.push(cloneOf(device))
        })
        if (domain.live) domain.live = printXml(bootDevices(parseXml(domain.live), domain.id))
        if (device.name === 'interface' && domain.live && affect.live)
          network?.addTap(first(device, 'target')?.attributes.dev ?? '', first(device, 'source')?.attributes.bridge ?? '')
      }),
    detachDevice: (uuid, xml, affect) =>
      change('detachDevice', `detach-device${shown(affect)} ${titleOf(xml)} from ${nameOf(uuid)}`, () => {
        const device = parseXml(xml)
        const domain = domainOf(uuid, 'detach-device')
        let alias: string | undefined
        const letGo = letsGo() || !domain.live
        edit(domain, letGo ? affect : { config: true }, 'detach-device', (devices) => {
          const found = devices.children.find((each) => deviceKey(each) === deviceKey(device))
          if (!found)
            throw libvirtFault(libvirtError.deviceMissing, `device not found: no ${deviceKey(device)}`, `detach-device ${domain.name}`)
          alias = first(found, 'alias')?.attributes.name ?? alias
          devices.children.splice(devices.children.indexOf(found), 1)
        })
        if (!affect.live || !domain.live || !letGo) return
        const tap = device.name === 'interface' ? first(device, 'target')?.attributes.dev : undefined
        if (tap) network?.removeTap(tap)
        emit({ kind: 'device-removed', uuid, name: domain.name, alias: alias ?? '' })
      }),
    updateDevice: (uuid, xml, affect) =>
      change('updateDevice', `update-device${shown(affect)} ${titleOf(xml)} of ${nameOf(uuid)}`, () => {
        const device = parseXml(xml)
        const domain = domainOf(uuid, 'update-device')
        edit(domain, affect, 'update-device', (devices) => {
          const at = devices.children.findIndex((each) => deviceKey(each) === deviceKey(device))
          if (at < 0)
            throw libvirtFault(libvirtError.deviceMissing, `device not found: no ${deviceKey(device)}`, `update-device ${domain.name}`)
          devices.children[at] = cloneOf(device)
        })
      }),
    interfaceStats: (uuid, device) =>
      look('interfaceStats', () => {
        const domain = running(uuid, 'ifstats')
        if (!find(parseXml(domain.live!), 'devices', 'interface', 'target').some((each) => each.attributes.dev === device))
          throw libvirtFault(
            libvirtError.invalidArgument,
            `invalid argument: '${device}' is not a known interface`,
            `ifstats ${domain.name}`,
          )
        return { rxBytes: 0, rxPackets: 0, rxErrors: 0, rxDrops: 0, txBytes: 0, txPackets: 0, txErrors: 0, txDrops: 0 }
      }),
  }
}

/** The twin's calls about disks. Its jobs are done at once. */
export function simulatedDisks(world: SimulatedWorld): Disks {
  const { change, look, domainOf, nameOf, running, disk, setSource, edit, emit } = world
  return {
    resizeDisk: (uuid, named, bytes) =>
      change('resizeDisk', `blockresize ${named} ${bytes} of ${nameOf(uuid)}`, () => {
        disk(running(uuid, 'blockresize'), named)
      }),
    limitDisk: (uuid, named, limits, affect) =>
      change('limitDisk', `blkdeviotune ${named} of ${nameOf(uuid)}`, () => {
        const domain = domainOf(uuid, 'blkdeviotune')
        disk(domain, named)
        edit(domain, affect, 'blkdeviotune', (devices) => {
          const found = diskIn(devices, named)
          if (!found) return
          const given = DISK_LIMITS.map((name) => limits[name] !== undefined && element(name, {}, limits[name]))
          found.children = found.children.filter(({ name }) => name !== 'iotune')
          if (given.some(Boolean)) found.children.push(element('iotune', {}, given))
        })
      }),
    diskInfo: (uuid, named) =>
      look('diskInfo', () => {
        disk(domainOf(uuid), named)
        return { capacity: 1024 ** 3, allocation: 1024 ** 2, physical: 1024 ** 2 }
      }),
    diskStats: (uuid, named) =>
      look('diskStats', () => {
        disk(running(uuid, 'blockstats'), named)
        return { readRequests: 0, readBytes: 0, writeRequests: 0, writeBytes: 0, errors: -1 }
      }),
    snapshotDisks: (uuid, xml) =>
      change('snapshotDisks', `snapshot-create --disk-only --no-metadata ${nameOf(uuid)}`, () => {
        const domain = domainOf(uuid, 'snapshot-create')
        for (const each of find(parseXml(xml), 'disks', 'disk')) {
          const { name = '', snapshot } = each.attributes
          const over = first(each, 'source')?.attributes.file
          if (snapshot === 'no' || !over) continue
          const below = first(disk(domain, name), 'source')?.attributes.file ?? ''
          domain.below[name] = [...(domain.below[name] ?? []), below]
          if (!existsSync(over) && existsSync(dirname(over))) writeFileSync(over, '')
          setSource(domain, name, over)
        }
      }),
    copyDisk: (uuid, named, toXml) =>
      change('copyDisk', `blockcopy ${named} of ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'blockcopy')
        disk(domain, named)
        if (domain.jobs[named])
          throw libvirtFault(
            libvirtError.operationFailed,
            `operation failed: there is a block job on '${named}'`,
            `blockcopy ${domain.name}`,
          )
        domain.jobs[named] = { type: 'copy', to: toXml }
        mirror(world, domain, named, false)
        setImmediate(() => {
          if (domain.jobs[named]?.type !== 'copy') return
          mirror(world, domain, named, true)
          emit({ kind: 'disk-job', uuid, name: domain.name, disk: named, status: 'ready' })
        })
      }),
    commitDisk: (uuid, named) =>
      change('commitDisk', `blockcommit ${named} --active --shallow of ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'blockcommit')
        disk(domain, named)
        if (!domain.below[named]?.length)
          throw libvirtFault(libvirtError.invalidArgument, `invalid argument: '${named}' has no backing file`, `blockcommit ${domain.name}`)
        domain.jobs[named] = { type: 'active-commit' }
        emit({ kind: 'disk-job', uuid, name: domain.name, disk: named, status: 'ready' })
      }),
    diskJob: (uuid, named) =>
      look('diskJob', () => {
        const domain = running(uuid, 'blockjob')
        const job = domain.jobs[named]
        const ready = first(disk(domain, named), 'mirror')?.attributes.ready !== 'no'
        return job ? { type: job.type, current: ready ? 1 : 0, end: 1 } : null
      }),
    endDiskJob: (uuid, named, { pivot = false } = {}) =>
      change('endDiskJob', `blockjob ${named} --${pivot ? 'pivot' : 'abort'} of ${nameOf(uuid)}`, () => {
        const domain = running(uuid, 'blockjob')
        const job = domain.jobs[named]
        if (!job)
          throw libvirtFault(libvirtError.invalidArgument, `invalid argument: no active block job on '${named}'`, `blockjob ${domain.name}`)
        if (pivot && first(disk(domain, named), 'mirror')?.attributes.ready === 'no')
          throw libvirtFault(
            libvirtError.operationInvalid,
            `block copy still active: disk '${named}' not ready for pivot yet`,
            `blockjob ${domain.name}`,
          )
        delete domain.jobs[named]
        if (job.type === 'copy') endCopy(world, domain, named, pivot ? job.to : null)
        else if (pivot) setSource(domain, named, domain.below[named]!.pop()!)
        emit({ kind: 'disk-job', uuid, name: domain.name, disk: named, status: pivot ? 'completed' : 'canceled' })
      }),
  }
}

const SOURCE = ['auth', 'source']

const copyTargetOf = (domain: SimulatedDomain, named: string): Element[] => {
  const job = domain.jobs[named]
  return job?.type === 'copy' ? parseXml(job.to).children.filter(({ name }) => SOURCE.includes(name)) : []
}

/** As libvirt shows a copy under way: beside the disk's source. */
function mirror({ edit, save }: SimulatedWorld, domain: SimulatedDomain, named: string, ready: boolean): void {
  edit(domain, { live: true }, 'blockcopy', (devices) => {
    const disk = diskIn(devices, named)
    if (!disk) return
    disk.children = disk.children.filter(({ name }) => name !== 'mirror')
    disk.children.push(element('mirror', { job: 'copy', ready: ready ? 'yes' : 'no' }, copyTargetOf(domain, named)))
  })
  save()
}

/** The definition follows where it had the same source. */
function endCopy({ edit }: SimulatedWorld, domain: SimulatedDomain, named: string, to: string | null): void {
  const became = to ? parseXml(to) : null
  const sourceOf = (disk: Element | undefined) => disk && JSON.stringify(first(disk, 'source')?.attributes)
  const before = sourceOf(diskIn(first(parseXml(domain.live!), 'devices')!, named))
  edit(domain, { live: true, config: true }, 'blockjob', (devices) => {
    const disk = diskIn(devices, named)
    if (!disk || sourceOf(disk) !== before) return
    disk.children = disk.children.filter(({ name }) => name !== 'mirror' && !(became && SOURCE.includes(name)))
    if (!became) return
    disk.attributes.type = became.attributes.type ?? ''
    disk.children.push(...became.children.filter(({ name }) => SOURCE.includes(name)))
  })
}

const diskIn = (devices: Element, named: string): Element | undefined =>
  devices.children.find((device) => device.name === 'disk' && first(device, 'target')?.attributes.dev === named)
