import type { SagaTables } from '../../kernel/saga/log.ts'

export interface VolumeRow {
  id: string
  project_id: string
  user_id: string
  name: string
  description: string | null
  /** GiB. */
  size: number
  /** What counts for the quota: the size, or while it grows what it grows to. */
  reserved_size: number
  status: string
  type_id: string
  availability_zone: string
  /** host@backend#pool, once it is scheduled. */
  host: string | null
  /** Which back ends were chosen in which attempt. */
  placement_json: string | null
  snapshot_id: string | null
  source_volid: string | null
  bootable: number
  /** 1: yes, 2: no longer, 0: never was. */
  readonly: number
  multiattach: number
  /** What the operation under way goes back to. */
  previous_status: string | null
  created_at: string
  updated_at: string
}

export interface SnapshotRow {
  id: string
  volume_id: string
  project_id: string
  user_id: string
  name: string
  description: string | null
  size: number
  status: string
  /** As whoever makes it says, like `80%`. */
  progress: string | null
  created_at: string
  updated_at: string
}

export interface TypeRow {
  id: string
  name: string
  description: string | null
  is_public: number
  qos_specs_id: string | null
  created_at: string
  updated_at: string
}

export type AttachStatus = 'reserved' | 'attaching' | 'attached' | 'detaching'

export interface AttachmentRow {
  id: string
  volume_id: string
  project_id: string
  instance_id: string | null
  status: string
  /** rw or ro */
  mode: string
  mountpoint: string | null
  host: string | null
  connector_json: string | null
  /** Without the secret. */
  connection_json: string | null
  /** CHAP; set from the moment the volume is to be exported. */
  secret: string | null
  /** Made by os-attach and its kin, not by the attachments API. */
  legacy: number
  attached_at: string | null
  created_at: string
  updated_at: string
}

/** Metadata of volumes and snapshots, image metadata of volumes, extra specs of types. */
export interface PropertyRow {
  kind: PropertyKind
  owner_id: string
  name: string
  value: string
}
export type PropertyKind = 'volume' | 'image' | 'snapshot' | 'type' | 'qos'

export interface BackendRow {
  name: string
  state_json: string
  reported_at: string
  disabled: number
  disabled_reason: string | null
}

export interface MessageRow {
  id: string
  project_id: string
  request_id: string | null
  resource_type: string
  resource_id: string
  event_id: string
  message: string
  created_at: string
}

/** A volume that waits for who takes it. */
export interface TransferRow {
  id: string
  /** Whose the volume is. */
  project_id: string
  volume_id: string
  name: string | null
  /** Of id and key: the key itself is nowhere. */
  digest: string
  no_snapshots: number
  created_at: string
}

export interface QosRow {
  id: string
  name: string
  /** front-end, back-end or both */
  consumer: string
  created_at: string
  /** Moved on by whoever changes what belongs to it. */
  generation: number
}

export interface VolumeTables extends SagaTables {
  volumes: VolumeRow
  snapshots: SnapshotRow
  types: TypeRow
  type_access: { type_id: string; project_id: string }
  attachments: AttachmentRow
  properties: PropertyRow
  backends: BackendRow
  messages: MessageRow
  transfers: TransferRow
  qos_specs: QosRow
  quotas: { owner: string; resource: string; hard_limit: number }
  quota_locks: { project_id: string; generation: number }
}
