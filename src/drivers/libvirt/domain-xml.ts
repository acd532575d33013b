import { type Element, element, printXml } from './xml.ts'

/** The namespace of what Yun notes in a domain's metadata. */
export const METADATA_NAMESPACE = 'urn:yun:instance:1'

export interface FileDisk {
  kind: 'file'
  path: string
  format: 'qcow2' | 'raw'
}

/** A LUN that QEMU reaches by itself. */
export interface IscsiDisk {
  kind: 'iscsi'
  /** `address:port` */
  portal: string
  iqn: string
  lun: number
  /** The name of the user and the libvirt secret that holds the password. */
  auth: { username: string; secretUuid: string } | null
  /** Only these first bytes of it; else all. */
  bytes?: number
}

/** Bytes and requests in a second. */
export const DISK_RATES = [
  'total_bytes_sec',
  'read_bytes_sec',
  'write_bytes_sec',
  'total_iops_sec',
  'read_iops_sec',
  'write_iops_sec',
] as const

/** In libvirt's words: rates, what they may be in bursts, how many seconds a burst may last, and of how many bytes one request is. */
export const DISK_LIMITS = [
  ...DISK_RATES,
  ...DISK_RATES.map((rate) => `${rate}_max` as const),
  ...DISK_RATES.map((rate) => `${rate}_max_length` as const),
  'size_iops_sec',
] as const

/** What is not named is not limited. */
export type DiskLimits = Partial<Record<(typeof DISK_LIMITS)[number], number>>

export interface DiskDescription {
  device: 'disk' | 'cdrom'
  source: FileDisk | IscsiDisk
  /** vda, sda, hda */
  target: string
  bus: 'virtio' | 'scsi' | 'sata' | 'ide' | 'usb'
  /** What the guest sees as serial number; virtio shows the first 20 characters. */
  serial?: string
  readOnly?: boolean
  cache?: 'none' | 'writeback' | 'writethrough' | 'unsafe'
  discard?: boolean
  limits?: DiskLimits
}

export interface InterfaceDescription {
  macAddress: string
  /** A Linux bridge (hybrid plug), or the integration bridge itself. */
  bridge: string
  tap: string
  model: string
  mtu: number
  /** In the kernel (vhost-net), or by QEMU itself. */
  vhost: boolean
  queues?: number
  /** Set when the tap is a port of Open vSwitch itself. */
  openvswitch?: { interfaceId: string }
  /** Kilobytes in a second, as libvirt counts bandwidth; needs HTB, SFQ and policing in the kernel. */
  bandwidth?: { inboundAverage?: number; outboundAverage?: number }
  /** What crosses a userspace datapath must have its checksums filled in by the guest. */
  noOffload?: boolean
}

export interface DomainDescription {
  /** kvm, or qemu for emulation. */
  type: 'kvm' | 'qemu'
  name: string
  uuid: string
  memoryMiB: number
  vcpus: number
  metadata: {
    version: string
    displayName: string
    createdAt: string
    flavor: { name: string; memoryMiB: number; vcpus: number; rootGiB: number; ephemeralGiB: number; swapMiB: number }
    projectId: string
    userId: string
    imageId: string | null
    hostname: string
    ports: { id: string; addresses: string[] }[]
  }
  cpuTune?: { shares?: number; period?: number; quota?: number }
  /** MiB */
  memoryTune?: { hardLimit?: number; softLimit?: number; swapHardLimit?: number }
  system: { manufacturer: string; product: string; version: string; serial: string }
  os: { arch: string; machine: string | null; boot: ('hd' | 'cdrom' | 'network')[]; kernel?: string; initrd?: string; commandLine?: string }
  /** null: QEMU's own default. */
  cpu: { mode: 'host-model' | 'host-passthrough' } | { mode: 'custom'; model: string } | null
  /** What the guest is to see: sockets * cores * threads = vcpus. */
  topology?: { sockets: number; cores: number; threads: number }
  disks: DiskDescription[]
  interfaces: InterfaceDescription[]
  /** The first serial port is a pty whose output is also kept in this file. */
  consoleLog: string
  vnc: { listen: string; keymap?: string }
  video: { model: string; vramKiB?: number }
  tablet: boolean
  rng: { source: string; rateBytes?: number; ratePeriodMs?: number } | null
  guestAgent: boolean
  watchdog?: 'reset' | 'poweroff' | 'pause' | 'none'
  /** Seconds between the balloon's statistics; null: no balloon. */
  balloonPeriod: number | null
}

/** The definition of a domain. Escapes all it is given. */
export const domainXml = (description: DomainDescription): string => printXml(domainElement(description))
/** A disk alone, for hot plug. */
export const diskXml = (description: DiskDescription): string => printXml(diskElement(description))
/** An interface alone, for hot plug. */
export const interfaceXml = (description: InterfaceDescription): string => printXml(interfaceElement(description))

/** The definition of the secret that holds the password of an iSCSI user; the password is set by a call of its own. */
export function secretXml(secret: { uuid: string; usageId: string; description: string }): string {
  return printXml(
    element('secret', { ephemeral: 'no', private: 'yes' }, [
      element('uuid', {}, secret.uuid),
      element('description', {}, secret.description),
      element('usage', { type: 'iscsi' }, [element('target', {}, secret.usageId)]),
    ]),
  )
}

function domainElement(domain: DomainDescription): Element {
  return element('domain', { type: domain.type }, [
    element('name', {}, domain.name),
    element('uuid', {}, domain.uuid),
    metadata(domain),
    element('memory', { unit: 'KiB' }, domain.memoryMiB * 1024),
    element('currentMemory', { unit: 'KiB' }, domain.memoryMiB * 1024),
    element('vcpu', { placement: 'static' }, domain.vcpus),
    memoryTune(domain),
    cpuTune(domain),
    element('sysinfo', { type: 'smbios' }, [
      element(
        'system',
        {},
        Object.entries({ ...domain.system, uuid: domain.uuid }).map(([name, value]) => element('entry', { name }, value)),
      ),
    ]),
    element('os', {}, [
      element('type', { arch: domain.os.arch, machine: domain.os.machine }, 'hvm'),
      domain.os.kernel && element('kernel', {}, domain.os.kernel),
      domain.os.initrd && element('initrd', {}, domain.os.initrd),
      domain.os.commandLine && element('cmdline', {}, domain.os.commandLine),
      ...domain.os.boot.map((dev) => element('boot', { dev })),
      element('smbios', { mode: 'sysinfo' }),
    ] as Element[]),
    element('features', {}, [element('acpi'), element('apic')]),
    cpu(domain),
    element('clock', { offset: 'utc' }, [
      element('timer', { name: 'pit', tickpolicy: 'delay' }),
      element('timer', { name: 'rtc', tickpolicy: 'catchup' }),
      element('timer', { name: 'hpet', present: 'no' }),
    ]),
    element('on_poweroff', {}, 'destroy'),
    element('on_reboot', {}, 'restart'),
    element('on_crash', {}, 'destroy'),
    element('devices', {}, devices(domain)),
  ])
}

function metadata({ metadata: noted }: DomainDescription): Element {
  const { flavor } = noted
  return element('metadata', {}, [
    element('yun:instance', { 'xmlns:yun': METADATA_NAMESPACE }, [
      element('yun:package', { version: noted.version }),
      element('yun:name', {}, noted.displayName),
      element('yun:hostname', {}, noted.hostname),
      element('yun:creationTime', {}, noted.createdAt),
      element('yun:flavor', { name: flavor.name }, [
        element('yun:memory', {}, flavor.memoryMiB),
        element('yun:disk', {}, flavor.rootGiB),
        element('yun:swap', {}, flavor.swapMiB),
        element('yun:ephemeral', {}, flavor.ephemeralGiB),
        element('yun:vcpus', {}, flavor.vcpus),
      ]),
      element('yun:owner', {}, [element('yun:user', { uuid: noted.userId }), element('yun:project', { uuid: noted.projectId })]),
      noted.imageId !== null && element('yun:root', { type: 'image', uuid: noted.imageId }),
      noted.ports.length > 0 &&
        element(
          'yun:ports',
          {},
          noted.ports.map(({ id, addresses }) =>
            element(
              'yun:port',
              { uuid: id },
              addresses.map((address) => element('yun:ip', { address, ipVersion: address.includes(':') ? 6 : 4 })),
            ),
          ),
        ),
    ]),
  ])
}

function cpuTune({ cpuTune: tune }: DomainDescription): Element | undefined {
  if (!tune || Object.values(tune).every((value) => value === undefined)) return undefined
  return element('cputune', {}, [
    tune.shares !== undefined && element('shares', {}, tune.shares),
    tune.period !== undefined && element('period', {}, tune.period),
    tune.quota !== undefined && element('quota', {}, tune.quota),
  ])
}

function memoryTune({ memoryTune: tune }: DomainDescription): Element | undefined {
  if (!tune || Object.values(tune).every((value) => value === undefined)) return undefined
  return element('memtune', {}, [
    tune.hardLimit !== undefined && element('hard_limit', { unit: 'MiB' }, tune.hardLimit),
    tune.softLimit !== undefined && element('soft_limit', { unit: 'MiB' }, tune.softLimit),
    tune.swapHardLimit !== undefined && element('swap_hard_limit', { unit: 'MiB' }, tune.swapHardLimit),
  ])
}

function cpu({ cpu: model, topology }: DomainDescription): Element | undefined {
  if (!model && !topology) return undefined
  return element('cpu', { mode: model?.mode, match: model?.mode === 'custom' ? 'exact' : undefined }, [
    model?.mode === 'custom' && element('model', { fallback: 'allow' }, model.model),
    topology && element('topology', { ...topology }),
  ])
}

function devices(domain: DomainDescription): (Element | false | null)[] {
  return [
    ...domain.disks.map(diskElement),
    domain.disks.some(({ bus }) => bus === 'scsi') && element('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' }),
    element('controller', { type: 'usb', index: 0 }),
    ...domain.interfaces.map(interfaceElement),
    element('serial', { type: 'pty' }, [element('log', { file: domain.consoleLog, append: 'off' }), element('target', { port: 0 })]),
    element('console', { type: 'pty' }, [
      element('log', { file: domain.consoleLog, append: 'off' }),
      element('target', { type: 'serial', port: 0 }),
    ]),
    domain.guestAgent && element('channel', { type: 'unix' }, [element('target', { type: 'virtio', name: 'org.qemu.guest_agent.0' })]),
    domain.tablet && element('input', { type: 'tablet', bus: 'usb' }),
    element('graphics', { type: 'vnc', port: -1, autoport: 'yes', listen: domain.vnc.listen, keymap: domain.vnc.keymap }, [
      element('listen', { type: 'address', address: domain.vnc.listen }),
    ]),
    element('video', {}, [element('model', { type: domain.video.model, vram: domain.video.vramKiB, heads: 1 })]),
    domain.watchdog !== undefined && element('watchdog', { model: 'i6300esb', action: domain.watchdog }),
    domain.rng &&
      element('rng', { model: 'virtio' }, [
        domain.rng.rateBytes !== undefined && element('rate', { bytes: domain.rng.rateBytes, period: domain.rng.ratePeriodMs }),
        element('backend', { model: 'random' }, domain.rng.source),
      ]),
    domain.balloonPeriod === null
      ? element('memballoon', { model: 'none' })
      : element('memballoon', { model: 'virtio' }, [element('stats', { period: domain.balloonPeriod })]),
  ]
}

function diskElement(disk: DiskDescription): Element {
  const { source } = disk
  const discard = disk.discard ? 'unmap' : undefined
  const file = source.kind === 'file'
  return element('disk', { type: file ? 'file' : 'network', device: disk.device }, [
    element('driver', { name: 'qemu', type: file ? source.format : 'raw', cache: disk.cache ?? 'none', discard }),
    !file &&
      source.auth &&
      element('auth', { username: source.auth.username }, [element('secret', { type: 'iscsi', uuid: source.auth.secretUuid })]),
    file ? element('source', { file: source.path }) : iscsiSource(source),
    element('target', { dev: disk.target, bus: disk.bus }),
    limits(disk.limits),
    disk.readOnly && element('readonly'),
    disk.serial !== undefined && element('serial', {}, disk.serial),
  ])
}

function iscsiSource({ portal, iqn, lun, bytes }: IscsiDisk): Element {
  const colon = portal.lastIndexOf(':')
  const name = portal.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  return element('source', { protocol: 'iscsi', name: `${iqn}/${lun}` }, [
    element('host', { name, port: portal.slice(colon + 1) }),
    bytes !== undefined && element('slices', {}, [element('slice', { type: 'storage', offset: 0, size: bytes })]),
  ])
}

function limits(given: DiskLimits | undefined): Element | undefined {
  if (!given || Object.values(given).every((value) => value === undefined)) return undefined
  return element(
    'iotune',
    {},
    DISK_LIMITS.map((name) => given[name] !== undefined && element(name, {}, given[name])),
  )
}

function interfaceElement(card: InterfaceDescription): Element {
  const { bandwidth } = card
  const off = { csum: 'off', gso: 'off', tso4: 'off', tso6: 'off', ecn: 'off', ufo: 'off' }
  const { gso: _, ...guestOff } = off
  return element('interface', { type: 'bridge' }, [
    element('mac', { address: card.macAddress }),
    element('source', { bridge: card.bridge }),
    card.openvswitch &&
      element('virtualport', { type: 'openvswitch' }, [element('parameters', { interfaceid: card.openvswitch.interfaceId })]),
    element('target', { dev: card.tap }),
    element('model', { type: card.model }),
    card.model === 'virtio' &&
      element(
        'driver',
        { name: card.vhost ? 'vhost' : 'qemu', queues: card.queues },
        card.noOffload ? [element('host', off), element('guest', guestOff)] : [],
      ),
    bandwidth &&
      element('bandwidth', {}, [
        bandwidth.inboundAverage !== undefined && element('inbound', { average: bandwidth.inboundAverage }),
        bandwidth.outboundAverage !== undefined && element('outbound', { average: bandwidth.outboundAverage }),
      ]),
    element('mtu', { size: card.mtu }),
  ])
}
