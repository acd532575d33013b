import { fromJson } from '../../kernel/db/columns.ts'
import type { Image } from '../app/image.ts'
import type { ImportTask } from '../app/import.ts'
import type { MemberRow } from '../app/member.ts'
import { STORE_ID } from '../app/store.ts'

/** Glance prints times to the second. */
const time = (iso: string) => `${iso.slice(0, 19)}Z`

export function imageView(image: Image) {
  return {
    ...image.properties,
    id: image.id,
    name: image.name,
    owner: image.owner,
    status: image.status,
    visibility: image.visibility,
    protected: image.protected === 1,
    os_hidden: image.hidden === 1,
    disk_format: image.disk_format,
    container_format: image.container_format,
    min_ram: image.min_ram,
    min_disk: image.min_disk,
    size: image.size,
    virtual_size: image.virtual_size,
    checksum: image.checksum,
    os_hash_algo: image.hash_algo,
    os_hash_value: image.hash_value,
    tags: image.tags,
    created_at: time(image.created_at),
    updated_at: time(image.updated_at),
    self: `/v2/images/${image.id}`,
    file: `/v2/images/${image.id}/file`,
    schema: '/v2/schemas/image',
    ...(image.status === 'active' || image.status === 'deactivated' ? { stores: STORE_ID } : {}),
  }
}

export const taskView = (task: ImportTask) => ({
  id: task.id,
  type: 'api_image_import',
  status: task.status,
  message: task.message,
  owner: task.owner,
  user_id: task.user_id,
  request_id: task.request_id,
  image_id: task.image_id,
  input: { image_id: task.image_id, import_req: { method: fromJson(task.method_json) }, backend: [STORE_ID] },
  result: null,
  created_at: time(task.created_at),
  updated_at: time(task.updated_at),
  expires_at: time(task.expires_at),
})

/** A page; `rawQuery` is kept in the links, but for the marker. Links begin at the version, as the clients expect. */
export function imageListView(images: Image[], more: boolean, rawQuery: string) {
  const query = new URLSearchParams(rawQuery)
  query.delete('marker')
  const first = `/v2/images${query.size > 0 ? `?${query}` : ''}`
  if (more) query.set('marker', images.at(-1)!.id)
  return {
    images: images.map(imageView),
    first,
    ...(more ? { next: `/v2/images?${query}` } : {}),
    schema: '/v2/schemas/images',
  }
}

export const memberView = (member: MemberRow) => ({
  image_id: member.image_id,
  member_id: member.member_id,
  status: member.status,
  created_at: time(member.created_at),
  updated_at: time(member.updated_at),
  schema: '/v2/schemas/member',
})
