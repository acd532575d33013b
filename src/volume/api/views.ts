import type { ApiRequest } from '../../kernel/http/route.ts'
import type { AttachmentRow } from '../app/attachment.ts'
import { connectionData } from '../app/connection.ts'
import type { MessageRow } from '../app/message.ts'
import type { Snapshot } from '../app/snapshot.ts'
import type { VolumeType } from '../app/type.ts'
import type { Volume } from '../app/volume.ts'

/** Cinder prints times without a zone, to the microsecond. */
export const time = (iso: string | null) => iso && `${iso.slice(0, 23)}000`

/** Below the project's id where the request came so. */
const below = (request: ApiRequest, path: string) => request.link(request.params.project_id ? `/${request.params.project_id}${path}` : path)

export const links = (request: ApiRequest, path: string) => [
  { rel: 'self', href: below(request, path) },
  { rel: 'bookmark', href: below(request, path).replace('/v3/', '/') },
]

export const briefVolume = (request: ApiRequest, volume: { id: string; name: string }) => ({
  id: volume.id,
  name: volume.name || null,
  links: links(request, `/volumes/${volume.id}`),
})

export function volumeView(request: ApiRequest, volume: Volume) {
  const { version } = request
  return {
    ...briefVolume(request, volume),
    description: volume.description,
    size: volume.size,
    status: volume.status,
    availability_zone: volume.availability_zone,
    bootable: volume.bootable === 1 ? 'true' : 'false',
    created_at: time(volume.created_at),
    updated_at: time(volume.updated_at),
    user_id: volume.user_id,
    volume_type: volume.typeName,
    snapshot_id: volume.snapshot_id,
    source_volid: volume.source_volid,
    metadata: volume.readonly === 0 ? volume.metadata : { ...volume.metadata, readonly: volume.readonly === 1 ? 'True' : 'False' },
    volume_image_metadata: volume.imageMetadata ?? undefined,
    attachments: volume.attachments.filter((one) => one.status === 'attached').map((one) => volumeAttachment(one)),
    encrypted: false,
    multiattach: volume.multiattach === 1,
    replication_status: null,
    consistencygroup_id: null,
    migration_status: null,
    'os-vol-tenant-attr:tenant_id': volume.project_id,
    ...(request.allowed('volume_extension:volume_host_attribute')
      ? { 'os-vol-host-attr:host': volume.host, 'os-vol-mig-status-attr:migstat': null, 'os-vol-mig-status-attr:name_id': null }
      : {}),
    ...(version.atLeast('3.13') ? { group_id: null } : {}),
    ...(version.atLeast('3.21') ? { provider_id: null } : {}),
    ...(version.atLeast('3.48') ? { shared_targets: version.atLeast('3.69') ? null : false, service_uuid: null } : {}),
    ...(version.atLeast('3.61') ? { cluster_name: null } : {}),
    ...(version.atLeast('3.63') ? { volume_type_id: volume.type_id } : {}),
    ...(version.atLeast('3.65') ? { consumes_quota: true } : {}),
  }
}

/** As the answers to its creation and its changes show it: without what is whose and where. */
export function changedVolumeView(request: ApiRequest, volume: Volume) {
  const { volume_image_metadata, ...view } = volumeView(request, volume)
  return Object.fromEntries(Object.entries(view).filter(([name]) => !name.startsWith('os-vol-')))
}

const volumeAttachment = (row: AttachmentRow) => ({
  id: row.volume_id,
  attachment_id: row.id,
  volume_id: row.volume_id,
  server_id: row.instance_id,
  host_name: row.host,
  device: row.mountpoint,
  attached_at: time(row.attached_at),
})

/** `extended`: with what only those answers have that show a snapshot in full. */
export const snapshotView = (request: ApiRequest, snapshot: Snapshot, extended = true) => ({
  id: snapshot.id,
  name: snapshot.name || null,
  description: snapshot.description,
  volume_id: snapshot.volume_id,
  size: snapshot.size,
  status: snapshot.status,
  created_at: time(snapshot.created_at),
  updated_at: time(snapshot.updated_at),
  metadata: snapshot.metadata,
  ...(extended
    ? {
        'os-extended-snapshot-attributes:project_id': snapshot.project_id,
        'os-extended-snapshot-attributes:progress': snapshot.progress ?? (snapshot.status === 'available' ? '100%' : '0%'),
      }
    : {}),
  ...(request.version.atLeast('3.14') ? { group_snapshot_id: null } : {}),
  ...(request.version.atLeast('3.41') ? { user_id: snapshot.user_id } : {}),
  ...(request.version.atLeast('3.65') ? { consumes_quota: true } : {}),
})

/** In lists: brief, or with its times; never with its connection. */
export const attachmentView = (row: AttachmentRow, detail: boolean) => ({
  id: row.id,
  volume_id: row.volume_id,
  instance: row.instance_id,
  status: row.status,
  ...(detail ? { attach_mode: row.mode, attached_at: time(row.attached_at) ?? '', detached_at: '' } : {}),
})

/** On its own. The secret goes to whoever may attach. */
export function attachmentWithConnection(row: AttachmentRow, secret: boolean) {
  const data = connectionData(row)
  if (data && !secret) delete data.auth_password
  const connection_info = data ? { driver_volume_type: 'iscsi', ...data, attachment_id: row.id } : {}
  return { ...attachmentView(row, true), connection_info }
}

/** As os-initialize_connection answers it. */
export const connectionView = (row: AttachmentRow) => ({
  connection_info: { driver_volume_type: 'iscsi', data: connectionData(row), attachment_id: row.id },
})

export const typeView = (type: VolumeType, specs: boolean) => ({
  id: type.id,
  name: type.name,
  description: type.description,
  is_public: type.is_public === 1,
  'os-volume-type-access:is_public': type.is_public === 1,
  qos_specs_id: type.qos_specs_id,
  ...(specs ? { extra_specs: type.extraSpecs } : {}),
})

export const messageView = (row: MessageRow) => ({
  id: row.id,
  event_id: row.event_id,
  user_message: row.message,
  message_level: 'ERROR',
  resource_type: row.resource_type,
  resource_uuid: row.resource_id,
  request_id: row.request_id,
  created_at: time(row.created_at),
  guaranteed_until: time(new Date(Date.parse(row.created_at) + 30 * 24 * 3_600_000).toISOString()),
})

/** `<name>_links` of a page that others follow. */
export function nextLink(request: ApiRequest, path: string, name: string, rows: { id: string }[], more: boolean) {
  if (!more) return {}
  const query = new URLSearchParams(request.rawQuery)
  query.delete('offset')
  query.set('marker', rows.at(-1)!.id)
  return { [`${name}_links`]: [{ rel: 'next', href: below(request, `${path}?${query}`) }] }
}
