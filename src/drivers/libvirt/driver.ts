import type { DiskLimits } from './domain-xml.ts'
import type { MigrationCalls } from './migration.ts'
import type { DOMAIN_STATES, LIFECYCLE } from './procedures.ts'

export type DomainState = (typeof DOMAIN_STATES)[number]

export interface Domain {
  name: string
  uuid: string
  /** -1 while it does not run. */
  id: number
  state: DomainState
  /** Why it is in that state: `booted`, `user`, `io-error`, `destroyed`, `saved`, ... as virsh domstate --reason calls it. */
  reason: string
}

export interface DomainInfo extends Domain {
  maxMemoryKiB: number
  memoryKiB: number
  vcpus: number
  cpuTimeNs: number
}

export interface NodeInfo {
  /** The architecture: x86_64. */
  model: string
  memoryMiB: number
  cpus: number
  mhz: number
  nodes: number
  sockets: number
  cores: number
  threads: number
}

/** What a change is made to: the running domain, its definition, or both. */
export interface Affect {
  live?: boolean
  config?: boolean
}

/** Bytes. */
export interface DiskInfo {
  capacity: number
  allocation: number
  physical: number
}

/** -1 where the hypervisor does not count. */
export interface DiskStats {
  readRequests: number
  readBytes: number
  writeRequests: number
  writeBytes: number
  errors: number
}

export interface InterfaceStats {
  rxBytes: number
  rxPackets: number
  rxErrors: number
  rxDrops: number
  txBytes: number
  txPackets: number
  txErrors: number
  txDrops: number
}

/** KiB, but the faults are counts and lastUpdate is in seconds. */
export type MemoryStats = Record<string, number>

export interface DiskJob {
  type: 'unknown' | 'pull' | 'copy' | 'commit' | 'active-commit' | 'backup'
  current: number
  end: number
}

export interface Secret {
  uuid: string
  usage: string
  usageId: string
}

export type LibvirtEvent =
  /** `reason` as libvirt details it: stopped by `shutdown`, `destroyed`, `crashed`, `saved`, ... */
  | { kind: 'lifecycle'; uuid: string; name: string; id: number; event: (typeof LIFECYCLE)[number]; reason: string }
  | { kind: 'device-removed'; uuid: string; name: string; alias: string }
  | { kind: 'device-removal-failed'; uuid: string; name: string; alias: string }
  | { kind: 'disk-job'; uuid: string; name: string; disk: string; status: 'completed' | 'failed' | 'canceled' | 'ready' }
  /** Events between a `down` and the next `up` are lost: ask for the state of everything on `up`. */
  | { kind: 'connection'; up: boolean }

/**
 * libvirt as the rooms of a host use it. Domains, secrets: by uuid with dashes. Every call throws Fault: 404 NoDomain, NoSecret, NoDevice; 409 DomainState (wrong state for
 * the call), DomainExists, DomainBusy, AgentUnresponsive; 400 DomainXml, Unsupported, InvalidArgument; 503 LibvirtUnavailable; 500 LibvirtError with libvirt's words.
 */
export interface Libvirt extends MigrationCalls {
  /** Major * 1 000 000 + minor * 1000 + release. */
  version(): Promise<{ libvirt: number; hypervisor: number }>
  hostname(): Promise<string>
  nodeInfo(): Promise<NodeInfo>
  /** XML. */
  capabilities(): Promise<string>
  /** XML: what a machine of this type may have. */
  domainCapabilities(of: { type: 'kvm' | 'qemu'; arch?: string; machine?: string; emulator?: string }): Promise<string>

  listDomains(): Promise<Domain[]>
  domainByUuid(uuid: string): Promise<Domain>
  domainByName(name: string): Promise<Domain>
  /** Defining again replaces the definition. */
  defineDomain(xml: string): Promise<Domain>
  /** A domain with a managed save is resumed from it. @returns it with its new id */
  startDomain(uuid: string, options?: { paused?: boolean }): Promise<Domain>
  /** Pulls the plug. */
  destroyDomain(uuid: string): Promise<void>
  /** With its managed save, NVRAM, snapshot and checkpoint metadata. */
  undefineDomain(uuid: string): Promise<void>
  /** Presses the ACPI power button; what the guest does about it is seen by events. */
  shutdownDomain(uuid: string): Promise<void>
  /** Asks the guest to. */
  rebootDomain(uuid: string): Promise<void>
  /** Presses the reset button. */
  resetDomain(uuid: string): Promise<void>
  suspendDomain(uuid: string): Promise<void>
  resumeDomain(uuid: string): Promise<void>
  /** Writes the memory to disk and stops it: the next start goes on from there. */
  saveDomain(uuid: string): Promise<void>
  hasSaved(uuid: string): Promise<boolean>
  removeSaved(uuid: string): Promise<void>
  domainInfo(uuid: string): Promise<DomainInfo>
  /** Of the running domain, or its definition where it does not run or `inactive` is asked. Never with secrets. */
  domainXml(uuid: string, options?: { inactive?: boolean }): Promise<string>

  attachDevice(uuid: string, xml: string, affect: Affect): Promise<void>
  /** Live, the guest has to let go: it is out when the event `device-removed` comes. */
  detachDevice(uuid: string, xml: string, affect: Affect): Promise<void>
  updateDevice(uuid: string, xml: string, affect: Affect): Promise<void>
  /** `disk`: target name (vda) or source path. */
  resizeDisk(uuid: string, disk: string, bytes: number): Promise<void>
  /** In place of those that it has. */
  limitDisk(uuid: string, disk: string, limits: DiskLimits, affect: Affect): Promise<void>
  diskInfo(uuid: string, disk: string): Promise<DiskInfo>
  diskStats(uuid: string, disk: string): Promise<DiskStats>
  /** `device`: target name (tap…). */
  interfaceStats(uuid: string, device: string): Promise<InterfaceStats>
  setMemory(uuid: string, mib: number, affect: Affect): Promise<void>
  memoryStats(uuid: string): Promise<MemoryStats>
  setVcpus(uuid: string, vcpus: number, affect: Affect): Promise<void>
  screenshot(uuid: string): Promise<{ mime: string; data: Buffer }>
  /** By the guest agent. */
  setUserPassword(uuid: string, user: string, password: string): Promise<void>

  /** A disk-only external snapshot without metadata, as its XML says. `reuse`: its files are there already; `quiesce`: the guest agent freezes the file systems. */
  snapshotDisks(uuid: string, xml: string, options?: { reuse?: boolean; quiesce?: boolean }): Promise<void>
  /** Copies a disk while it is used; `toXml` is a <disk> element. Ready when the disk's <mirror> says so; then abort (keep the source) or pivot: the definition follows. */
  copyDisk(uuid: string, disk: string, toXml: string, options?: { shallow?: boolean; reuse?: boolean }): Promise<void>
  /** Commits the active layer into the one below it. Ready when current is end; then pivot. */
  commitDisk(uuid: string, disk: string): Promise<void>
  /** Null when none is under way. */
  diskJob(uuid: string, disk: string): Promise<DiskJob | null>
  endDiskJob(uuid: string, disk: string, options?: { pivot?: boolean }): Promise<void>

  /** @returns its uuid */
  defineSecret(xml: string): Promise<string>
  setSecretValue(uuid: string, value: Uint8Array): Promise<void>
  undefineSecret(uuid: string): Promise<void>
  secretByUsage(usage: 'volume' | 'ceph' | 'iscsi', usageId: string): Promise<Secret>
  listSecrets(): Promise<Secret[]>

  /** QMP, as JSON in and out. */
  monitorCommand(uuid: string, command: { execute: string; arguments?: object }): Promise<unknown>
  /** To the guest agent, as JSON in and out; ms. */
  agentCommand(uuid: string, command: { execute: string; arguments?: object }, timeoutMs?: number): Promise<unknown>

  /** From now on, beginning with whether the connection is up; keeps it up from then on. Returns how to stop. */
  onEvent(listener: (event: LibvirtEvent) => void): () => void
  close(): void
}
