import { timestamp, toJson } from '../../kernel/db/columns.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { autoDiskConfig } from './disk-config.ts'
import { checkFits, imageSpec } from './image-spec.ts'
import { flavorOf, requestOf } from './instance-spec.ts'
import { findKeypair } from './keypair.ts'

export interface Rebuild {
  imageRef: string
  name?: string
  description?: string | null
  hostname?: string
  metadata?: Record<string, string>
  files?: { path: string; contents: string }[]
  adminPass?: string
  /** null: none any more. */
  keyName?: string | null
  userData?: string | null
  /** Null: as the image says. */
  autoDiskConfig: boolean | null
}

/** @throws Fault 400 for an image that does not fit, 409 for a state in the way */
export async function rebuild(context: ComputeContext, request: RequestContext, row: InstanceRow, wanted: Rebuild): Promise<void> {
  if (!requestOf(row).image) throw badRequest(`Server ${row.id} boots from a volume and cannot be rebuilt with another image.`)
  const image = await imageSpec(context, request, wanted.imageRef)
  checkFits(image, flavorOf(row))
  const keypair = wanted.keyName ? await findKeypair(context, row.user_id, wanted.keyName) : null
  await operate(context, request, row, {
    action: 'rebuild',
    saga: 'rebuild-server',
    vmStates: ['active', 'stopped', 'error'],
    taskState: 'rebuilding',
    input: { image, adminPass: wanted.adminPass },
    columns: {
      updated_at: timestamp(),
      auto_disk_config: autoDiskConfig(image, wanted.autoDiskConfig),
      ...(wanted.name !== undefined ? { name: wanted.name } : {}),
      ...(wanted.description !== undefined ? { description: wanted.description } : {}),
      ...(wanted.hostname !== undefined ? { hostname: wanted.hostname } : {}),
      ...(wanted.metadata ? { metadata_json: toJson(wanted.metadata) } : {}),
      ...(wanted.files ? { files_json: toJson(wanted.files) } : {}),
      ...(wanted.userData !== undefined ? { user_data: wanted.userData } : {}),
      ...(wanted.keyName !== undefined
        ? {
            key_name: keypair?.name ?? null,
            key_json: toJson(keypair && { name: keypair.name, publicKey: keypair.public_key, type: keypair.type }),
          }
        : {}),
    },
  })
}

/** Boots from another image (its own by default) with its disk as the second one. */
export async function rescue(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  { imageRef, volumeBootedToo }: { imageRef: string | null; volumeBootedToo: boolean },
): Promise<void> {
  const own = requestOf(row).image
  if (!own && !volumeBootedToo)
    throw badRequest(`Instance ${row.id} cannot be rescued: Cannot rescue a volume-backed instance`, 'InstanceNotRescuable')
  if (!own && !imageRef) throw badRequest(`Server ${row.id} boots from a volume: name an image to rescue it with.`)
  const image = imageRef ? await imageSpec(context, request, imageRef) : own!
  await operate(context, request, row, {
    action: 'rescue',
    saga: 'rescue-server',
    vmStates: ['active', 'stopped', 'error'],
    taskState: 'rescuing',
    input: { image },
  })
}
