/** The numbers of libvirt's remote protocol that are used here. They never change: libvirt only appends. */

export const PROGRAM = { remote: 0x20008086, qemu: 0x20008087 } as const

export const AUTH_NONE = 0
export const AUTH_POLKIT = 2

export interface Procedure {
  program: number
  number: number
}

const remote = (number: number): Procedure => ({ program: PROGRAM.remote, number })
const qemu = (number: number): Procedure => ({ program: PROGRAM.qemu, number })

export const procedures = {
  authList: remote(66),
  authPolkit: remote(70),
  connectOpen: remote(1),
  connectGetVersion: remote(4),
  connectGetLibVersion: remote(157),
  connectGetHostname: remote(59),
  connectGetCapabilities: remote(7),
  connectGetDomainCapabilities: remote(342),
  connectGetAllDomainStats: remote(344),
  connectListAllDomains: remote(273),
  connectListAllSecrets: remote(287),
  connectDomainEventRegister: remote(316),
  nodeGetInfo: remote(6),
  domainLookupByName: remote(23),
  domainLookupByUuid: remote(24),
  domainDefineXml: remote(350),
  domainCreate: remote(196),
  domainDestroy: remote(234),
  domainUndefine: remote(231),
  domainShutdown: remote(258),
  domainReboot: remote(27),
  domainReset: remote(245),
  domainSuspend: remote(34),
  domainResume: remote(28),
  domainManagedSave: remote(182),
  domainHasManagedSave: remote(183),
  domainManagedSaveRemove: remote(184),
  domainGetJobInfo: remote(163),
  domainAbortJob: remote(164),
  migrateBegin: remote(302),
  migratePrepare: remote(303),
  migratePerform: remote(305),
  migrateFinish: remote(306),
  migrateConfirm: remote(307),
  domainGetInfo: remote(16),
  domainGetState: remote(212),
  domainGetXml: remote(14),
  domainAttachDevice: remote(160),
  domainDetachDevice: remote(161),
  domainUpdateDevice: remote(174),
  domainBlockResize: remote(251),
  domainSetBlockIoTune: remote(252),
  domainGetBlockInfo: remote(194),
  domainBlockStats: remote(64),
  domainInterfaceStats: remote(65),
  domainSetMemory: remote(204),
  domainMemoryStats: remote(159),
  domainSetVcpus: remote(199),
  domainScreenshot: remote(211),
  domainSetUserPassword: remote(357),
  domainSnapshotCreate: remote(185),
  domainBlockCopy: remote(345),
  domainBlockCommit: remote(290),
  domainGetBlockJobInfo: remote(238),
  domainBlockJobAbort: remote(237),
  secretDefine: remote(142),
  secretSetValue: remote(144),
  secretUndefine: remote(146),
  secretLookupByUuid: remote(141),
  secretLookupByUsage: remote(147),
  monitorCommand: qemu(1),
  agentCommand: qemu(3),
} as const

/** Kinds of events to register for, and the procedure number of the messages that bring them. */
export const events = {
  lifecycle: { id: 0, message: 318 },
  deviceRemoved: { id: 15, message: 333 },
  deviceRemovalFailed: { id: 22, message: 367 },
  diskJob: { id: 16, message: 339 },
} as const

/** In the order of libvirt's numbers. */
export const DOMAIN_STATES = ['nostate', 'running', 'blocked', 'paused', 'shutdown', 'shutoff', 'crashed', 'pmsuspended'] as const

export const STATE_REASONS: Record<(typeof DOMAIN_STATES)[number], readonly string[]> = {
  nostate: ['unknown'],
  running: [
    'unknown',
    'booted',
    'migrated',
    'restored',
    'from-snapshot',
    'unpaused',
    'migration-canceled',
    'save-canceled',
    'wakeup',
    'crashed',
    'postcopy',
    'postcopy-failed',
  ],
  blocked: ['unknown'],
  paused: [
    'unknown',
    'user',
    'migration',
    'save',
    'dump',
    'io-error',
    'watchdog',
    'from-snapshot',
    'shutting-down',
    'snapshot',
    'crashed',
    'starting-up',
    'postcopy',
    'postcopy-failed',
    'api-error',
  ],
  shutdown: ['unknown', 'user'],
  shutoff: ['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot', 'daemon'],
  crashed: ['unknown', 'panicked'],
  pmsuspended: ['unknown'],
}

export const LIFECYCLE = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'pmsuspended',
  'crashed',
] as const

export const LIFECYCLE_DETAILS: Record<(typeof LIFECYCLE)[number], readonly string[]> = {
  defined: ['added', 'updated', 'renamed', 'from-snapshot'],
  undefined: ['removed', 'renamed'],
  started: ['booted', 'migrated', 'restored', 'from-snapshot', 'wakeup', 'recreated'],
  suspended: ['paused', 'migrated', 'io-error', 'watchdog', 'restored', 'from-snapshot', 'api-error', 'postcopy', 'postcopy-failed'],
  resumed: ['unpaused', 'migrated', 'from-snapshot', 'postcopy', 'postcopy-failed'],
  stopped: ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot', 'recreated'],
  shutdown: ['finished', 'guest', 'host'],
  pmsuspended: ['memory', 'disk'],
  crashed: ['panicked', 'crashloaded'],
}

/** Flags by the calls they belong to. */
export const flags = {
  startPaused: 1,
  undefineManagedSave: 1,
  undefineSnapshots: 2,
  undefineNvram: 4,
  undefineCheckpoints: 16,
  affectLive: 1,
  affectConfig: 2,
  memoryMaximum: 4,
  xmlSecure: 1,
  xmlInactive: 2,
  blockResizeBytes: 1,
  shutdownAcpi: 1,
  statsState: 1,
  snapshotNoMetadata: 4,
  snapshotDiskOnly: 16,
  snapshotReuseExternal: 32,
  snapshotQuiesce: 64,
  snapshotAtomic: 128,
  copyShallow: 1,
  copyReuseExternal: 2,
  copyTransient: 4,
  commitShallow: 1,
  commitActive: 4,
  migrateLive: 1,
  migratePersistDestination: 8,
  migratePaused: 32,
  migrateWholeDisks: 64,
  migrateIncremental: 128,
  migrateChangeProtection: 256,
  migrateUnsafe: 512,
  jobAbortAsync: 1,
  jobAbortPivot: 2,
} as const

/** Tags of memory statistics, in the order of libvirt's numbers. KiB, but faults are counts and lastUpdate is in seconds. */
export const MEMORY_STATS = [
  'swapIn',
  'swapOut',
  'majorFault',
  'minorFault',
  'unused',
  'available',
  'actual',
  'rss',
  'usable',
  'lastUpdate',
  'diskCaches',
  'hugetlbAlloc',
  'hugetlbFail',
] as const

export const SECRET_USAGE = ['none', 'volume', 'ceph', 'iscsi', 'tls', 'vtpm'] as const
