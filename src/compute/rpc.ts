import { message } from '../kernel/bus/bus.ts'

/** The typed messages between compute's control side and the agents on the hosts (src/host/compute). Sizes: MiB and GiB as the names say. */

export const computeTopic = (host: string) => `compute.${host}`
export const COMPUTE_CONTROL = 'compute.control'

export interface FlavorSpec {
  id: string
  name: string
  vcpus: number
  ramMiB: number
  rootGiB: number
  ephemeralGiB: number
  swapMiB: number
  extraSpecs: Record<string, string>
}

export interface ImageSpec {
  id: string
  name: string
  diskFormat: string
  containerFormat: string
  sizeBytes: number
  /** md5, if the image service has one. */
  checksum: string | null
  hashAlgorithm: string | null
  hashValue: string | null
  minRamMiB: number
  minDiskGiB: number
  properties: Record<string, string>
}

/** All that a host must know of a server, made once on control; hosts ask nobody's database. */
export interface InstanceSpec {
  uuid: string
  /** The row's number: instance-0000000N. */
  number: number
  /** instance-0000000N, as virsh shows it. */
  domainName: string
  displayName: string
  hostname: string
  projectId: string
  userId: string
  reservationId: string
  launchIndex: number
  availabilityZone: string
  createdAt: string
  flavor: FlavorSpec
  /** Null when it boots from a volume. */
  image: ImageSpec | null
  keyPair: { name: string; publicKey: string; type: string } | null
  /** base64, as the user sent it. */
  userData: string | null
  metadata: Record<string, string>
  tags: string[]
  configDrive: boolean
  /** Personality files; contents in base64. */
  files: { path: string; contents: string }[]
  adminPass: string
  securityGroups: string[]
}

/** A network card of a server as the network service describes it (Nova's network info). */
export interface Vif {
  portId: string
  macAddress: string
  network: { id: string; label: string; mtu: number; projectId: string }
  subnets: {
    id: string
    cidr: string
    ipVersion: 4 | 6
    gateway: string | null
    dns: string[]
    routes: { destination: string; nexthop: string }[]
    dhcp: boolean
    addresses: string[]
  }[]
  vnicType: string
  vifType: string
  /** From binding:vif_details. */
  details: { ovsHybridPlug: boolean; portFilter: boolean; bridgeName: string; datapathType: string }
  /** Fixed address → the floating ones that lead to it. */
  floatingIps?: Record<string, string[]>
  /** Ids. */
  securityGroups?: string[]
  /** tapXXXXXXXX-XX */
  deviceName: string
  active: boolean
}

/** A volume as libvirt reaches it. */
export interface VolumeConnection {
  volumeId: string
  attachmentId: string
  driver: 'iscsi' | 'file'
  /** iscsi: `127.0.0.1:3260` */
  portal: string
  iqn: string
  lun: number
  auth: { username: string; password: string } | null
  sizeGiB: number
  readOnly: boolean
  /** What its volume type says of the guest's use of it, in libvirt's names for limits. */
  qos: Record<string, string> | null
  /** /dev/vdb */
  device: string
  bootIndex: number | null
}

/** Of the former only what it is known by. */
export interface VolumeSwap {
  uuid: string
  former: VolumeConnection
  connection: VolumeConnection
}

export interface HostState {
  host: string
  hypervisorHostname: string
  hypervisorType: string
  hypervisorVersion: number
  /** x86_64, i686, ... with hypervisor and vm mode, as image properties are compared. */
  supportedInstances: [arch: string, hypervisor: string, mode: string][]
  cpuModel: string
  cpuFeatures: string[]
  vcpus: number
  memoryMiB: number
  diskGiB: number
  vcpusUsed: number
  memoryMiBUsed: number
  diskGiBUsed: number
  freeDiskGiB: number
  runningVms: number
  /** Servers being built, resized, snapshotted, ...: I/O heavy. */
  ioOps: number
  hostIp: string
  kvm: boolean
  /** In words, when guests are emulated: why. */
  notice: string | null
  /** uuid → power state, of all domains that are ours and of servers that have a place here. */
  instances: Record<string, PowerState>
  startedAt: string
  version: string
}

export type PowerState = 'nostate' | 'running' | 'paused' | 'shutdown' | 'crashed' | 'suspended'

export interface Claim {
  claimId: string
  vcpus: number
  memoryMiB: number
  diskGiB: number
  /** What is left after it. */
  free: { vcpus: number; memoryMiB: number; diskGiB: number }
}

type OfServer = { uuid: string }

/** Statuses of a migration, as Nova names them, in which it is over and holds nothing. */
export const OVER = ['confirmed', 'reverted', 'completed', 'done', 'error', 'failed', 'cancelled']

/** As drivers/libvirt/migration.ts has it. */
export interface MigrationPlan {
  copyDisks: string[]
  whole?: boolean
  paused: boolean
}

/** How far a live migration is; bytes and ms. */
export interface MigrationProgress {
  elapsedMs: number
  memory: { total: number; processed: number; remaining: number }
  disk: { total: number; processed: number; remaining: number }
}

/** `base`: the name of the base image that it stands on; null when it holds everything itself. */
export interface RootDisk {
  virtualSizeBytes: number
  base: string | null
}

/** All as they are; the root disk `whole`, with what is below it; the config drive alone. */
export type DisksWanted = 'disks' | 'whole' | 'drive'

/** Disks of a server that stands still, to be fetched by the host that it goes to. */
export interface DiskOffer {
  url: string
  /** Without it nobody is given anything; of this offer alone. */
  token: string
  disks: { name: string; bytes: number }[]
}
/** A port of a server, with the flavor that may limit it. */
export type Plug = { uuid: string; vif: Vif; flavor: FlavorSpec }

/** What a hypervisor counts of a guest; null where it does not count. */
export interface Diagnostics {
  state: string
  driver: string
  hypervisor: string
  hypervisor_os: string
  uptime: number | null
  config_drive: boolean
  num_cpus: number
  num_nics: number
  num_disks: number
  /** MiB. */
  memory_details: { maximum: number; used: number }
  /** ns. */
  cpu_details: { id: number; time: number | null; utilisation: number | null }[]
  /** `name` as the hypervisor calls the device. */
  disk_details: ({ name: string } & Record<string, any>)[]
  nic_details: ({ name: string } & Record<string, any>)[]
}

/** Control asks a host; every message may arrive twice. Messages that undo work from what is named here and look nothing up. */
export const host = {
  /** 16 */
  receive: message<{ instance: InstanceSpec }, { host: string; hypervisor: string; receivedAt: string }>('receive'),
  /** 17; throws Fault 409 ResourcesGone when they do not fit any more: the build goes to an alternate. */
  claim: message<
    { uuid: string; flavor: FlavorSpec; imageBacked: boolean; limits?: { memoryMiB?: number; vcpus?: number; diskGiB?: number } },
    Claim
  >('claim'),
  unclaim: message<OfServer, void>('unclaim'),
  /** 25 */
  prepareDirectory: message<OfServer, { path: string }>('prepare-directory'),
  removeDirectory: message<OfServer, void>('remove-directory'),
  /** 26 */
  fetchBase: message<
    { image: ImageSpec },
    { path: string; format: string; cached: boolean; bytes: number; virtualSizeBytes: number; sha: string }
  >('fetch-base'),
  /** 27 */
  createOverlay: message<
    { uuid: string; basePath: string; baseFormat: string },
    { path: string; backingFile: string; virtualSizeBytes: number }
  >('create-overlay'),
  removeDisk: message<OfServer, void>('remove-disk'),
  /** 28 */
  resizeDisk: message<{ uuid: string; rootGiB: number }, { virtualSizeBytes: number; grown: boolean }>('resize-disk'),
  /** 29 */
  buildConfigDrive: message<{ instance: InstanceSpec; vifs: Vif[] }, { path: string | null; bytes: number }>('build-config-drive'),
  removeConfigDrive: message<OfServer, void>('remove-config-drive'),
  /** 30 */
  injectFiles: message<{ instance: InstanceSpec; vifs: Vif[] }, { files: string[]; by: string }>('inject-files'),
  /** 31 */
  makeXml: message<{ instance: InstanceSpec; vifs: Vif[]; volumes: VolumeConnection[]; rescue?: boolean }, { xml: string }>('make-xml'),
  /** 32 */
  define: message<{ uuid: string; xml: string }, { domainName: string }>('define'),
  undefine: message<OfServer, void>('undefine'),
  /** 33 to 36, one message each; unplug takes all of one vif away. */
  createBridge: message<Plug, { bridge: string }>('create-qbr'),
  createVeth: message<Plug, { qvb: string; qvo: string; mtu: number }>('create-veth'),
  joinBridge: message<Plug, { bridge: string; port: string }>('join-qbr'),
  joinIntegration: message<Plug, { bridge: string; port: string }>('join-br-int'),
  unplug: message<{ vifs: Vif[] }, void>('unplug'),
  launch: message<OfServer, { domainId: number }>('launch'),
  /** 37 */
  start: message<OfServer, { powerState: PowerState; domainId: number; vncPort: number | null }>('start'),
  destroy: message<OfServer, void>('destroy'),

  /** It lives on another host now: everything of it here goes. */
  dismiss: message<{ uuid: string; vifs: Vif[] }, void>('dismiss'),
  powerState: message<OfServer, { powerState: PowerState; exists: boolean }>('power-state'),
  stop: message<{ uuid: string; timeoutMs: number }, { clean: boolean }>('stop'),
  reboot: message<{ uuid: string; hard: boolean }, { powerState: PowerState }>('reboot'),
  pause: message<OfServer, void>('pause'),
  unpause: message<OfServer, void>('unpause'),
  suspend: message<OfServer, void>('suspend'),
  resume: message<OfServer, void>('resume'),
  /** Makes a flattened qcow2 of the running or stopped server's disk in a work file and streams it to the image service as `imageId`. */
  snapshot: message<{ uuid: string; imageId: string; running: boolean }, { bytes: number }>('snapshot'),
  discardSnapshot: message<{ uuid: string; imageId: string }, void>('discard-snapshot'),
  /** Keeps the disk aside as disk.<name> and brings it back: rebuild, rescue and resize are undone with it. */
  keepDisk: message<{ uuid: string; name: string }, { kept: boolean }>('keep-disk'),
  restoreDisk: message<{ uuid: string; name: string }, void>('restore-disk'),
  dropDisk: message<{ uuid: string; name: string }, void>('drop-disk'),
  /** Until it is withdrawn, or nobody has come for ten minutes. */
  offerDisks: message<{ uuid: string; which: DisksWanted }, DiskOffer>('offer-disks'),
  withdrawDisks: message<OfServer, void>('withdraw-disks'),
  /** Fetches them from the host that offers them and puts the root disk on this host's copy of its base. */
  takeDisks: message<{ uuid: string; offer: DiskOffer; base: { path: string; format: string } | null }, { disks: string[]; bytes: number }>(
    'take-disks',
  ),
  /** Whether two hosts have one directory: one leaves a mark, the other looks for it. */
  leaveMark: message<OfServer, void>('leave-mark'),
  findMark: message<OfServer, { directory: string; found: boolean }>('find-mark'),
  removeMark: message<OfServer, void>('remove-mark'),
  /** Libvirt holds the passwords of a server's volumes before its guest comes. */
  holdSecrets: message<{ uuid: string; volumes: VolumeConnection[] }, void>('hold-secrets'),
  /** Null for a server that boots from a volume. */
  rootDisk: message<OfServer, RootDisk | null>('root-disk'),
  /** Empty disks of the flavor, and with `rootBytes` a root disk, for those of a guest that comes with its data. */
  prepareDisks: message<{ instance: InstanceSpec; rootBytes?: number }, void>('prepare-disks'),
  /** Resolves when the switch has put all these ports on their networks. @throws Fault 500 naming those that it has not */
  waitWired: message<{ vifs: Vif[]; timeoutMs: number }, { ports: number }>('wait-wired'),
  /** S: what is carried along; `whole`: with what is below its root disk. */
  planMigration: message<{ uuid: string; shared: boolean; whole: boolean }, { plan: MigrationPlan; domainName: string }>('migrate-plan'),
  /** The five parts of a live migration, told to source (S) and destination (D) by turns (drivers/libvirt/migration.ts). S */
  beginMigration: message<{ uuid: string; plan: MigrationPlan }, { xml: string; cookie: string }>('migrate-begin'),
  /** D; `directory`: where servers lie on S. */
  prepareMigration: message<
    { uuid: string; plan: MigrationPlan; xml: string; cookie: string; directory: string },
    { uri: string; cookie: string }
  >('migrate-prepare'),
  /** S; takes as long as it takes, and tells control how far it is. */
  performMigration: message<{ uuid: string; plan: MigrationPlan; uri: string; cookie: string; migrationId: string }, { cookie: string }>(
    'migrate-perform',
  ),
  /** D */
  finishMigration: message<
    { uuid: string; domainName: string; plan: MigrationPlan; cookie: string },
    { cookie: string; powerState: PowerState }
  >('migrate-finish'),
  /** S: the guest that has left is forgotten. */
  confirmMigration: message<{ uuid: string; plan: MigrationPlan; cookie: string }, void>('migrate-confirm'),
  /** D: whatever has come of it is thrown away. */
  abandonMigration: message<{ uuid: string; domainName: string; plan: MigrationPlan }, void>('migrate-abandon'),
  /** S: the guest goes on where it was. */
  cancelMigration: message<{ uuid: string; plan: MigrationPlan }, void>('migrate-cancel'),
  /** S: `performMigration` fails. @throws Fault 409 when nothing is under way */
  abortMigration: message<OfServer, void>('migrate-abort'),
  /** S: the guest stands still until it is over. */
  forceMigration: message<OfServer, void>('migrate-force'),
  attachVolume: message<{ uuid: string; connection: VolumeConnection; live: boolean }, { device: string; address: string | null }>(
    'attach-volume',
  ),
  detachVolume: message<{ uuid: string; connection: VolumeConnection; live: boolean }, void>('detach-volume'),
  extendVolume: message<{ uuid: string; connection: VolumeConnection }, void>('extend-volume'),
  /** The three parts of a swap of volumes below a running guest (host/compute/swap-volume.ts); the first and the last are told again until they are done. */
  copyVolume: message<VolumeSwap & { begun: boolean }, { ready: boolean }>('copy-volume'),
  breakOffCopy: message<VolumeSwap, void>('break-off-copy'),
  pivotVolume: message<VolumeSwap, { swapped: boolean }>('pivot-volume'),
  attachInterface: message<{ uuid: string; vif: Vif; live: boolean }, void>('attach-interface'),
  detachInterface: message<{ uuid: string; vif: Vif; live: boolean }, void>('detach-interface'),
  setPassword: message<{ uuid: string; password: string }, void>('set-password'),
  injectNmi: message<OfServer, void>('inject-nmi'),
  consoleLog: message<{ uuid: string; lines: number | null }, { output: string }>('console-log'),
  /** Where on this host the console listens; the proxy connects there. */
  console: message<{ uuid: string; kind: 'vnc' | 'serial' }, { host: string; port: number | null; path: string | null }>('console'),
  diagnostics: message<OfServer, Diagnostics>('diagnostics'),
  domainXml: message<OfServer, { xml: string }>('domain-xml'),
  screenshot: message<OfServer, { type: string; base64: string }>('screenshot'),
  report: message<Record<string, never>, HostState>('report'),
  /** All that belongs to Yun's compute on this host, by owner: for the leak oracle. */
  audit: message<Record<string, never>, { kind: string; name: string; owner: string | null }[]>('audit'),
}

/** Hosts tell control (topic COMPUTE_CONTROL); control alone writes states. */
export const control = {
  hostReport: message<HostState, void>('host-report'),
  /** Which of the servers that this host holds live elsewhere now. */
  departed: message<{ host: string; uuids: string[] }, { uuid: string; vifs: Vif[] }[]>('departed'),
  migrationProgress: message<{ migrationId: string; progress: MigrationProgress }, void>('migration-progress'),
  /** A domain changed by itself: shut down from within, crashed, paused on an I/O error. */
  powerChanged: message<{ host: string; uuid: string; powerState: PowerState; event: string; at: string }, void>('power-changed'),
}

/** Every step record of every process (kernel/trace), for the compute service to keep. */
export const stepsRecorded = message<import('../kernel/trace/trace.ts').StepRecord[], void>('trace.steps')

/** The network said that a port is plugged: every compute process hears it, for its saga may be the one that waits. */
export const portPlugged = message<{ portId: string }, void>('compute.port-plugged')

/** The volume service has done, or not, with writing another image onto a volume. */
export const volumeReimaged = message<{ volumeId: string }, void>('compute.volume-reimaged')
