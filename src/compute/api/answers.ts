import Type, { type TSchema } from 'typebox'
import { RESOURCES } from '../app/quota.ts'
import { Nullable } from './common.ts'

const Text = Type.String()
const MaybeText = Nullable(Text)
const Flag = Type.Boolean()
const Whole = Type.Integer()
const MaybeWhole = Nullable(Whole)
const { Optional } = Type
/** Keys that are not ours to name, all with values of one shape. */
const table = (value: TSchema) => Type.Record(Text, value)

/** The one key of an answer. */
export const Shown = (key: string, schema: TSchema) => Type.Object({ [key]: schema })

export const Link = Type.Object({ rel: Text, href: Text, type: Optional(Text) })
const Links = Type.Array(Link)
/** A list with the way to its next page. */
export const Paged = (key: string, item: TSchema) => Type.Object({ [key]: Type.Array(item), [`${key}_links`]: Optional(Links) })

const version = { id: Text, status: Text, version: Text, min_version: Text, updated: Text, links: Links }
export const Version = Type.Object(version)
export const VersionWithMedia = Type.Object({ ...version, 'media-types': Type.Array(Type.Object({ base: Text, type: Text })) })
export const Extension = Type.Object({ alias: Text, name: Text, description: Text, links: Links, namespace: Text, updated: Text })

export const BriefAddress = Type.Object({ version: Whole, addr: Text })
const Address = Type.Object({
  ...BriefAddress.properties,
  'OS-EXT-IPS:type': Optional(Text),
  'OS-EXT-IPS-MAC:mac_addr': Optional(Text),
})
export const Addresses = (address: TSchema = BriefAddress) => table(Type.Array(address))

const NamedGroup = Type.Object({ name: Text })
export const SecurityGroup = Type.Object({
  id: Text,
  name: Text,
  description: Text,
  tenant_id: Text,
  rules: Type.Array(Type.Never()),
})
const FlavorOf = Type.Union([
  Type.Object({ id: Text, links: Links }),
  Type.Object({ vcpus: Whole, ram: Whole, disk: Whole, ephemeral: Whole, swap: Whole, original_name: Text, extra_specs: table(Text) }),
])
const Fault = Type.Object({ code: Whole, created: Text, message: Text, details: Optional(Text) })

/** Ids and names. */
const summary = { id: Text, name: Text, links: Links }
const Server = Type.Object({
  ...summary,
  status: Text,
  tenant_id: Text,
  user_id: Text,
  metadata: table(Text),
  hostId: Text,
  image: Type.Union([Type.Object({ id: Text, links: Links }), Type.Literal('')]),
  flavor: FlavorOf,
  created: Text,
  updated: Text,
  addresses: Addresses(Address),
  accessIPv4: Text,
  accessIPv6: Text,
  'OS-DCF:diskConfig': Text,
  progress: Optional(Whole),
  fault: Optional(Fault),
  locked: Optional(Flag),
  locked_reason: Optional(MaybeText),
  description: Optional(MaybeText),
  tags: Optional(Type.Array(Text)),
  trusted_image_certificates: Optional(Nullable(Type.Array(Text))),
  server_groups: Optional(Type.Array(Text)),
  host_status: Optional(Text),
  config_drive: Optional(Text),
  key_name: Optional(MaybeText),
  security_groups: Optional(Type.Array(NamedGroup)),
  user_data: Optional(MaybeText),
  adminPass: Optional(Text),
  'OS-EXT-AZ:availability_zone': Optional(Text),
  'OS-SRV-USG:launched_at': Optional(MaybeText),
  'OS-SRV-USG:terminated_at': Optional(MaybeText),
  'OS-EXT-STS:task_state': Optional(MaybeText),
  'OS-EXT-STS:vm_state': Optional(Text),
  'OS-EXT-STS:power_state': Optional(Whole),
  'os-extended-volumes:volumes_attached': Optional(Type.Array(Type.Object({ id: Text, delete_on_termination: Optional(Flag) }))),
  'OS-EXT-SRV-ATTR:host': Optional(MaybeText),
  'OS-EXT-SRV-ATTR:hypervisor_hostname': Optional(MaybeText),
  'OS-EXT-SRV-ATTR:instance_name': Optional(Text),
  'OS-EXT-SRV-ATTR:reservation_id': Optional(Text),
  'OS-EXT-SRV-ATTR:launch_index': Optional(Whole),
  'OS-EXT-SRV-ATTR:hostname': Optional(Text),
  'OS-EXT-SRV-ATTR:kernel_id': Optional(Text),
  'OS-EXT-SRV-ATTR:ramdisk_id': Optional(Text),
  'OS-EXT-SRV-ATTR:root_device_name': Optional(MaybeText),
  'OS-EXT-SRV-ATTR:user_data': Optional(MaybeText),
})
export const ServerAnswer = Shown('server', Server)
export const ServerSummaries = Paged('servers', Type.Object(summary))
export const ServerList = Paged('servers', Server)
export const AcceptedServer = Type.Union([
  Type.Object({ reservation_id: Text }),
  Shown(
    'server',
    Type.Object({
      id: Text,
      links: Links,
      'OS-DCF:diskConfig': Text,
      security_groups: Type.Array(NamedGroup),
      adminPass: Optional(Text),
    }),
  ),
])

const counts = (names: string[]) => Object.fromEntries(names.map((name) => [name, MaybeWhole]))
const Traffic = ['octets', 'packets', 'errors', 'drop', 'rate'].flatMap((what) => [`rx_${what}`, `tx_${what}`])
export const Diagnostics = Type.Object({
  state: Text,
  driver: Text,
  hypervisor: Text,
  hypervisor_os: Text,
  uptime: MaybeWhole,
  config_drive: Flag,
  num_cpus: Whole,
  num_nics: Whole,
  num_disks: Whole,
  memory_details: Type.Object({ maximum: Whole, used: Whole }),
  cpu_details: Type.Array(Type.Object({ id: Whole, time: MaybeWhole, utilisation: MaybeWhole })),
  disk_details: Type.Array(Type.Object(counts(['read_bytes', 'read_requests', 'write_bytes', 'write_requests', 'errors_count']))),
  nic_details: Type.Array(Type.Object({ mac_address: MaybeText, ...counts(Traffic) })),
})

/** Before 2.48: each count by the name of its device. */
export const LibvirtDiagnostics = table(MaybeWhole)
export const ConsoleTarget = Type.Object({ instance_uuid: Text, host: Text, port: Whole, internal_access_path: Type.Null() })
export const Topology = Type.Object({ nodes: Type.Array(Type.Never()), pagesize_kb: Type.Null() })

const anything = (description: string) => Type.Unknown({ description })
export const Trace = Type.Object({
  server_id: Text,
  name: Text,
  steps: Type.Array(
    Type.Object({
      step: Whole,
      name: Text,
      title: Text,
      chapter: anything('Of the article'),
      status: Text,
      service: MaybeText,
      started_at: MaybeText,
      ms: Nullable(Type.Number()),
      evidence: Type.Object({ text: Text }, { additionalProperties: true, description: 'What the step found or made: each its own' }),
      commands: Type.Array(anything('A command that was given out: program, arguments, output, exit code')),
    }),
  ),
})

export const VolumeAttachment = Type.Object({
  id: Optional(Text),
  attachment_id: Optional(Text),
  bdm_uuid: Optional(Text),
  volumeId: Text,
  serverId: Text,
  device: MaybeText,
  tag: Optional(MaybeText),
  delete_on_termination: Optional(Flag),
})
export const InterfaceAttachment = Type.Object({
  port_id: Text,
  net_id: Text,
  mac_addr: Text,
  port_state: Text,
  fixed_ips: Type.Array(Type.Object({ subnet_id: Text, ip_address: Text })),
})

const action = {
  action: Text,
  instance_uuid: Text,
  request_id: Text,
  user_id: Text,
  project_id: Text,
  start_time: MaybeText,
  message: MaybeText,
  updated_at: Optional(MaybeText),
}
export const InstanceAction = Type.Object(action)
export const InstanceActionWithEvents = Type.Object({
  ...action,
  events: Type.Array(
    Type.Object({
      event: Text,
      start_time: MaybeText,
      finish_time: MaybeText,
      result: Text,
      traceback: Optional(MaybeText),
      hostId: Optional(Text),
      host: Optional(MaybeText),
      details: Optional(MaybeText),
    }),
  ),
})

const flavor = { ...summary, description: Optional(MaybeText) }
export const FlavorSummary = Type.Object(flavor)
export const Flavor = Type.Object({
  ...flavor,
  ram: Whole,
  disk: Whole,
  vcpus: Whole,
  swap: Type.Union([Whole, Type.Literal('')]),
  rxtx_factor: Type.Number(),
  'OS-FLV-EXT-DATA:ephemeral': Whole,
  'OS-FLV-DISABLED:disabled': Flag,
  'os-flavor-access:is_public': Flag,
  extra_specs: Optional(table(Text)),
})
export const FlavorAccess = Shown('flavor_access', Type.Array(Type.Object({ flavor_id: Text, tenant_id: Text })))

const keypair = { name: Text, public_key: Text, fingerprint: Text, type: Optional(Text) }
export const KeypairBrief = Shown('keypair', Type.Object(keypair))
export const KeypairAnswer = Shown(
  'keypair',
  Type.Object({
    ...keypair,
    user_id: Text,
    private_key: Optional(Text),
    id: Optional(Whole),
    created_at: Optional(MaybeText),
    updated_at: Optional(Type.Null()),
    deleted: Optional(Flag),
    deleted_at: Optional(Type.Null()),
  }),
)

export const Aggregate = Type.Object({
  id: Whole,
  uuid: Optional(Text),
  name: Text,
  availability_zone: MaybeText,
  metadata: Optional(table(Text)),
  hosts: Optional(Type.Array(Text)),
  created_at: MaybeText,
  updated_at: MaybeText,
  deleted: Flag,
  deleted_at: Type.Null(),
})

const Id = Type.Union([Text, Whole])
export const Service = Type.Object({
  id: Id,
  binary: Text,
  host: Text,
  zone: Text,
  status: Text,
  state: Text,
  updated_at: MaybeText,
  disabled_reason: MaybeText,
  forced_down: Optional(Flag),
})
export const ChangedService = Type.Object({
  host: Text,
  binary: Text,
  status: Optional(Text),
  disabled_reason: Optional(Text),
  forced_down: Optional(Flag),
})

const hypervisor = { id: Id, hypervisor_hostname: Text, state: Text, status: Text }
const servers = { servers: Optional(Type.Array(Type.Object({ uuid: Text, name: Text }))) }
export const HypervisorBrief = Type.Object({ ...hypervisor, ...servers })
export const HypervisorUptime = Type.Object({ ...hypervisor, uptime: Text })
const Cpu = Type.Object({
  vendor: Text,
  arch: Text,
  model: Text,
  features: Type.Array(Text),
  topology: Type.Object({ sockets: Whole, cores: Whole, threads: Whole }),
})
const AMOUNTS = [
  ...['vcpus', 'vcpus_used', 'memory_mb', 'memory_mb_used', 'free_ram_mb', 'local_gb', 'local_gb_used', 'free_disk_gb'],
  ...['disk_available_least', 'running_vms', 'current_workload'],
]
export const Hypervisor = Type.Object({
  ...hypervisor,
  ...servers,
  hypervisor_type: Text,
  hypervisor_version: Whole,
  host_ip: Text,
  service: Type.Object({ id: Id, host: Text, disabled_reason: MaybeText }),
  uptime: Optional(Text),
  ...Object.fromEntries(AMOUNTS.map((name) => [name, Optional(Type.Number())])),
  cpu_info: Optional(Type.Union([Text, Cpu])),
})
export const HypervisorSum = Type.Object({ count: Whole, ...Object.fromEntries(AMOUNTS.map((name) => [name, Type.Number()])) })

const HostInZone = Type.Object({ available: Flag, active: Flag, updated_at: MaybeText })
export const Zone = Type.Object({
  zoneName: Text,
  zoneState: Type.Object({ available: Flag }),
  hosts: Nullable(table(table(HostInZone))),
})

const limits = Object.fromEntries(RESOURCES.map((name) => [name, Optional(Whole)]))
export const QuotaSet = Type.Object({ id: Optional(Text), ...limits })
const Used = Type.Object({ limit: Whole, in_use: Whole, reserved: Whole })
export const QuotaDetail = Type.Object({ id: Text, ...Object.fromEntries(RESOURCES.map((name) => [name, Optional(Used)])) })
export const Limits = Type.Object({ rate: Type.Array(Type.Never()), absolute: table(Whole) })

const period = { tenant_id: Text, start: MaybeText, stop: MaybeText }
const totals = {
  total_hours: Type.Number(),
  total_vcpus_usage: Type.Number(),
  total_memory_mb_usage: Type.Number(),
  total_local_gb_usage: Type.Number(),
}
const ServerUsage = Type.Object({
  instance_id: Text,
  name: Text,
  hours: Type.Number(),
  flavor: Text,
  vcpus: Whole,
  memory_mb: Whole,
  local_gb: Whole,
  started_at: MaybeText,
  ended_at: MaybeText,
  tenant_id: Text,
  state: Text,
  uptime: Whole,
})
export const TenantUsage = Type.Object({ ...period, ...totals, server_usages: Optional(Type.Array(ServerUsage)) })
/** Empty of a project that had no servers then. */
export const TenantUsageOrNone = Type.Union([TenantUsage, Type.Object({})])

export const ServerGroupView = Type.Object({
  id: Text,
  name: Text,
  members: Type.Array(Text),
  policies: Optional(Type.Array(Text)),
  policy: Optional(Text),
  rules: Optional(Type.Object({ max_server_per_host: Optional(Whole) })),
  metadata: Optional(Type.Object({})),
  project_id: Optional(Text),
  user_id: Optional(Text),
})

export const ExternalEvent = Type.Object({ server_uuid: Text, name: Text, status: Text, tag: Optional(Text), code: Whole })
/** Of an image: what its owner wrote, as Glance holds it. */
export const ImageMetadata = table(anything('As the image has it'))
