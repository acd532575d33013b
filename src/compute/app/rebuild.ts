import { randomUUID } from 'node:crypto'
import { timestamp, toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { blockDevicesOf } from '../db/instances.ts'
import type { BlockDeviceRow, InstanceRow } from '../db/tables.ts'
import type { ImageSpec } from '../rpc.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { autoDiskConfig } from './disk-config.ts'
import { checkBound, checkFits, imageSpec } from './image-spec.ts'
import { flavorOf, requestOf } from './instance-spec.ts'
import { findKeypair } from './keypair.ts'
import { changeRequest } from './server-request.ts'

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
  accessIPv4?: string
  accessIPv6?: string
  /** Ids of those that may have signed its image; null: none any more. */
  trustedCertificates?: string[] | null
  /** Null: as the image says. */
  autoDiskConfig: boolean | null
  /** A volume that it boots from gets the image, too. */
  volumeToo: boolean
  /** As with a new server. */
  unboundDisk: boolean
}

/** @throws Fault 400 for an image that does not fit, 409 for a state in the way */
export async function rebuild(context: ComputeContext, request: RequestContext, row: InstanceRow, wanted: Rebuild): Promise<void> {
  const root = requestOf(row).image ? null : await rootVolume(context, row)
  if (root && wanted.trustedCertificates)
    throw badRequest('Image certificate validation is not supported for volume-backed servers.', 'CertificateValidationFailed')
  const image = await imageSpec(context, request, wanted.imageRef)
  if (root && !wanted.volumeToo && (await imageOn(context, root)) !== image.id)
    throw badRequest(
      `Image ${image.id} is unacceptable: Unable to rebuild with a different image for a volume-backed server.`,
      'ImageUnacceptable',
    )
  if (root && wanted.volumeToo && image.sizeBytes === 0)
    throw badRequest(
      `Image ${image.id} is unacceptable: it has no data to write onto volume ${root.volume_id}. If it names snapshots of volumes, make a new server of it.`,
      'ImageUnacceptable',
    )
  checkFits(image, flavorOf(row), root ?? undefined)
  if (!root) checkBound(flavorOf(row), wanted.unboundDisk)
  const keypair = wanted.keyName ? await findKeypair(context, row.user_id, wanted.keyName) : null
  await operate(context, request, row, {
    action: 'rebuild',
    ...(root ? overVolume(root, image, wanted) : { saga: 'rebuild-server', input: { image, adminPass: wanted.adminPass } }),
    vmStates: ['active', 'stopped', 'error'],
    taskState: 'rebuilding',
    also: async (trx) => {
      const { trustedCertificates } = wanted
      if (trustedCertificates !== undefined) await changeRequest(trx, row.id, () => ({ trustedCertificates }))
    },
    columns: {
      updated_at: timestamp(),
      auto_disk_config: autoDiskConfig(image, wanted.autoDiskConfig),
      ...(wanted.name !== undefined ? { name: wanted.name } : {}),
      ...(wanted.description !== undefined ? { description: wanted.description } : {}),
      ...(wanted.hostname !== undefined ? { hostname: wanted.hostname } : {}),
      ...(wanted.metadata ? { metadata_json: toJson(wanted.metadata) } : {}),
      ...(wanted.files ? { files_json: toJson(wanted.files) } : {}),
      ...(wanted.userData !== undefined ? { user_data: wanted.userData } : {}),
      ...(wanted.accessIPv4 !== undefined ? { access_ipv4: wanted.accessIPv4 } : {}),
      ...(wanted.accessIPv6 !== undefined ? { access_ipv6: wanted.accessIPv6 } : {}),
      ...(wanted.keyName !== undefined
        ? {
            key_name: keypair?.name ?? null,
            key_json: toJson(keypair && { name: keypair.name, publicKey: keypair.public_key, type: keypair.type }),
          }
        : {}),
    },
  })
}

const overVolume = (root: BlockDeviceRow, image: ImageSpec, { volumeToo, adminPass }: Rebuild) =>
  volumeToo
    ? {
        saga: 'reimage-server',
        followedBy: 'finish-reimage',
        input: { image, volumeId: root.volume_id, attachmentId: root.id, holdId: randomUUID(), adminPass },
      }
    : { saga: 'rebuild-on-volume', input: { adminPass } }

async function rootVolume(context: ComputeContext, row: InstanceRow): Promise<BlockDeviceRow> {
  const devices = await blockDevicesOf(context.database.db, [row.id])
  const root = devices.find((one) => one.volume_id !== null && one.boot_index !== null && Number(one.boot_index) === 0)
  if (!root) throw conflict(`Server ${row.id} has no volume that it boots from: it never came to be.`, 'InstanceInvalidState')
  return root
}

/** Which image it was made from, if any. */
const imageOn = async (context: ComputeContext, { volume_id }: BlockDeviceRow): Promise<string | undefined> =>
  (await context.volumes.volume(volume_id!)).volume_image_metadata?.image_id

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
