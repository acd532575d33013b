import type { SagaTables } from '../../kernel/saga/log.ts'

/** The rows of the compute service. Times are ISO text, flags 0 or 1, memory MiB, disk GiB; columns named *_json hold JSON. */
export interface InstanceRow {
  id: string
  /** instance-0000000N */
  number: number
  project_id: string
  user_id: string
  name: string
  hostname: string
  description: string | null
  reservation_id: string
  launch_index: number
  vm_state: VmState
  task_state: string | null
  /** The task that an operator's word took from the row while its operation goes on. */
  held_task: string | null
  power_state: number
  /** What the host said last; null before it is scheduled. */
  host: string | null
  node: string | null
  /** As asked for; null for any. */
  requested_zone: string | null
  zone: string | null
  image_id: string | null
  flavor_json: string
  /** Of the flavor that counts for the quota. */
  vcpus: number
  ram: number
  /** While resized: the flavor to go back to. */
  old_flavor_json: string | null
  key_name: string | null
  key_json: string | null
  user_data: string | null
  config_drive: number
  auto_disk_config: number
  metadata_json: string
  tags_json: string
  files_json: string
  security_groups_json: string
  network_info_json: string
  /** What was asked: networks, hints, named host. */
  request_json: string
  group_id: string | null
  access_ipv4: string | null
  access_ipv6: string | null
  locked: number
  locked_reason: string | null
  fault_json: string | null
  progress: number
  /** What `rebuild` and `rescue` put in the place of image_id meanwhile. */
  rescue_image_id: string | null
  created_at: string
  updated_at: string
  launched_at: string | null
  terminated_at: string | null
  deleted: number
}

export type VmState =
  | 'building'
  | 'active'
  | 'stopped'
  | 'paused'
  | 'suspended'
  | 'rescued'
  | 'resized'
  | 'shelved'
  | 'shelved_offloaded'
  | 'error'
  | 'deleted'
  | 'soft-delete'

export interface BlockDeviceRow {
  /** The volume service's attachment. */
  id: string
  server_id: string
  /** Null while its volume is yet to be made. */
  volume_id: string | null
  device: string
  boot_index: number | null
  delete_on_termination: number
  tag: string | null
  /** volume, image, snapshot, blank: what the volume is made from. */
  source_type: string
  source_id: string | null
  size: number | null
  /** Of the volume that is made; null: the default one. */
  volume_type: string | null
  created_at: string
}

export interface FlavorRow {
  id: string
  name: string
  vcpus: number
  ram: number
  disk: number
  ephemeral: number
  swap: number
  rxtx_factor: number
  is_public: number
  disabled: number
  description: string | null
  extra_specs_json: string
  created_at: string
}

export interface KeypairRow {
  user_id: string
  name: string
  number: number
  type: string
  public_key: string
  fingerprint: string
  created_at: string
}

export interface AggregateRow {
  id: number
  uuid: string
  name: string
  metadata_json: string
  hosts_json: string
  created_at: string
  updated_at: string | null
}

export interface HostRow {
  host: string
  number: number
  /** Of the service, and of the resource provider. */
  service_id: string
  provider_id: string
  /** The last report. */
  state_json: string
  disabled: number
  disabled_reason: string | null
  forced_down: number
  seen_at: string
  created_at: string
}

export interface ServerGroupRow {
  id: string
  project_id: string
  user_id: string
  name: string
  policy: string
  rules_json: string
  created_at: string
}

export interface ActionRow {
  server_id: string
  request_id: string
  action: string
  user_id: string | null
  project_id: string | null
  start_time: string
  updated_at: string
  message: string | null
}

/** A step as it was kept before there were {@link StepBatchRow}s. */
export interface StepRow {
  id: string
  subject: string
  step: number
  name: string
  service: string
  request_id: string | null
  saga: string | null
  /** ms since the epoch, with fractions. */
  started_at: number
  ms: number
  outcome: string
  evidence_json: string
  commands_json: string
}

/** What happened to one subject and came to the keeper together. */
export interface StepBatchRow {
  subject: string
  batch: string
  records_json: string
}

/** A server's way from one host to another, as operators follow it. */
export interface MigrationRow {
  /** Holds the place on the host that is left in placement's books, until there is no way back. */
  id: string
  /** What the API calls its id. */
  number: number
  server_id: string
  /** Of who asked for it. */
  project_id: string
  user_id: string
  type: 'migration' | 'resize' | 'live-migration' | 'evacuation'
  status: string
  source_host: string
  source_node: string
  /** Null before the scheduler has chosen. */
  dest_host: string | null
  dest_node: string | null
  old_flavor_id: string
  new_flavor_id: string
  /** Of a live migration, as its hypervisor told last; bytes. */
  memory_total: number | null
  memory_processed: number | null
  memory_remaining: number | null
  disk_total: number | null
  disk_processed: number | null
  disk_remaining: number | null
  created_at: string
  updated_at: string
}

export interface ConsoleTokenRow {
  /** sha256 of the token. */
  digest: string
  server_id: string
  kind: string
  host: string
  port: number
  expires_at: string
}

export interface ComputeTables extends SagaTables {
  instances: InstanceRow
  block_devices: BlockDeviceRow
  flavors: FlavorRow
  flavor_access: { flavor_id: string; project_id: string }
  keypairs: KeypairRow
  aggregates: AggregateRow
  hosts: HostRow
  server_groups: ServerGroupRow
  actions: ActionRow
  steps: StepRow
  step_records: StepBatchRow
  console_tokens: ConsoleTokenRow
  server_passwords: { server_id: string; password: string }
  migrations: MigrationRow
  /** `owner` is a project, `project/user`, or `class:default`. */
  quotas: { owner: string; resource: string; hard_limit: number }
  /** One row for each project: whoever creates takes it first, so that two cannot count at once. */
  quota_locks: { project_id: string; generation: number }
  counters: { name: string; value: number }
}
