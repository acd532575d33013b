import type { Generated } from 'kysely'

/** The rows of the image service. Times are ISO text, sizes bytes, flags 0 or 1. */
export interface ImageRow {
  id: string
  name: string | null
  owner: string | null
  status: ImageStatus
  visibility: Visibility
  protected: number
  hidden: number
  disk_format: string | null
  container_format: string | null
  size: number | null
  virtual_size: number | null
  /** md5 of the data, as older clients check it. */
  checksum: string | null
  hash_algo: string | null
  hash_value: string | null
  /** MiB */
  min_ram: number
  /** GiB */
  min_disk: number
  /** Of the upload, staging or import under way: names its part file; a second one finds it taken. */
  upload_id: string | null
  /** Until when the process that uploads vouches for it. */
  lease_until: string | null
  created_at: string
  updated_at: string
}

export type ImageStatus = 'queued' | 'saving' | 'uploading' | 'importing' | 'active' | 'deactivated' | 'killed'
export type Visibility = 'public' | 'community' | 'shared' | 'private'
export type MemberStatus = 'pending' | 'accepted' | 'rejected'

export interface MemberRow {
  image_id: string
  member_id: string
  status: MemberStatus
  created_at: string
  updated_at: string
}

/** A namespace of metadata definitions. */
export interface NamespaceRow {
  namespace: string
  display_name: string | null
  description: string | null
  visibility: 'public' | 'private'
  protected: number
  owner: string
  created_at: string
  updated_at: string
}

export type PartKind = 'object' | 'property' | 'tag' | 'resource_type'

/** What a namespace defines or is associated with: `body_json` is the definition without its name. */
export interface PartRow {
  namespace: string
  kind: PartKind
  name: string
  body_json: string
  created_at: string
  updated_at: string
}

export type TaskStatus = 'processing' | 'success' | 'failure'

/** One import of an image, for those who want to know what became of it. */
export interface TaskRow {
  id: string
  image_id: string
  /** Of the import, as the image has it while it goes on. */
  upload_id: string
  /** The method as it was asked for. */
  method_json: string
  status: TaskStatus
  message: string
  owner: string | null
  user_id: string | null
  request_id: string
  created_at: string
  updated_at: string
  expires_at: string
}

export interface ImageTables {
  /** Its generation is moved on by whoever decides by what the image is, so that they follow one another. */
  images: ImageRow & { generation: Generated<number> }
  /** Ids that were images': none of them is given again. */
  deleted_images: { id: string; deleted_at: string }
  image_tags: { image_id: string; tag: string }
  image_properties: { image_id: string; name: string; value: string | null }
  image_members: MemberRow
  metadef_namespaces: NamespaceRow
  metadef_parts: PartRow
  image_tasks: TaskRow
}
