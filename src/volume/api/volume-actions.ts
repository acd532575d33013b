import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import * as legacy from '../app/legacy-attach.ts'
import { addMetadata, dropMetadata } from '../app/metadata.ts'
import * as operations from '../app/operations.ts'
import { reimageVolume } from '../app/reimage.ts'
import { retypeVolume } from '../app/retype.ts'
import { deleteVolume, type Volume } from '../app/volume.ts'
import * as shape from './schemas.ts'
import { theVolume, truth, viewerOf, volumeTarget } from './seen.ts'
import { connectionView, time } from './views.ts'

const closed = { additionalProperties: false }
const Optional = Type.Optional

export function volumeActionRoutes(context: VolumeContext): Route[] {
  const target = volumeTarget(context)
  const act = (
    name: string,
    doc: string,
    policy: string,
    body: Route['body'],
    handler: (request: ApiRequest, volume: Volume, what: any) => unknown,
    more: Partial<Route> = {},
  ): Route => ({
    method: 'POST',
    path: '/volumes/:volume_id/action',
    action: name,
    doc,
    policy,
    target,
    status: 202,
    body: shape.action(name, body ?? shape.Anything),
    response: 'nothing',
    async handler(request) {
      const answer = await handler(request, await theVolume(context, request), request.body[name])
      return answer === undefined ? new Reply(undefined, { status: more.status ?? 202 }) : answer
    },
    ...more,
  })
  const actions = 'volume_extension:volume_actions'
  return [
    act(
      'os-extend',
      'Make a volume larger',
      'volume:extend',
      Type.Object({ new_size: shape.Size }, closed),
      async (request, volume, { new_size }) => {
        const attached = volume.status === 'in-use' && request.version.atLeast('3.42')
        if (attached) request.enforce('volume:extend_attached_volume', await target(request))
        await operations.extendVolume(context, viewerOf(request), volume, { sizeGiB: Number(new_size), attached })
      },
    ),
    act(
      'os-reset_status',
      "Say what a volume's status is (administrators)",
      'volume_extension:volume_admin_actions:reset_status',
      Type.Object(
        {
          status: Optional(shape.Choice(operations.VOLUME_STATUSES)),
          attach_status: Optional(shape.Choice(['attached', 'detached'])),
          migration_status: Optional(shape.Anything),
        },
        closed,
      ),
      (_request, volume, { status, attach_status, migration_status }) =>
        migration_status !== undefined && !status && !attach_status
          ? undefined
          : operations.resetStatus(context, volume, status, attach_status),
    ),
    act('os-force_delete', 'Delete a volume whatever its status (administrators)', 'volume:force_delete', undefined, (request, volume) =>
      deleteVolume(context, viewerOf(request), volume, { cascade: false, force: true }),
    ),
    act(
      'os-set_bootable',
      'Say whether a server can boot from a volume',
      'volume:set_bootable',
      Type.Object({ bootable: shape.Flag }, closed),
      async (_request, volume, { bootable }) => {
        await operations.setBootable(context, volume, truth(bootable))
      },
      { status: 200 },
    ),
    act(
      'os-update_readonly_flag',
      'Make a volume read-only or not',
      'volume:update_readonly_flag',
      Type.Object({ readonly: shape.Flag }, closed),
      (_request, volume, { readonly }) => operations.setReadOnly(context, volume, truth(readonly)),
    ),
    act(
      'os-set_image_metadata',
      'Add to what a volume remembers of its image',
      'volume_extension:volume_image_metadata:set',
      Type.Object({ metadata: shape.Metadata }, closed),
      async (_request, volume, { metadata }) => ({ metadata: await addMetadata(context, 'image', volume.id, metadata) }),
      { status: 200, response: shape.ImageMetadata },
    ),
    act(
      'os-unset_image_metadata',
      'Forget something of what a volume remembers of its image',
      'volume_extension:volume_image_metadata:remove',
      Type.Object({ key: shape.Text }, closed),
      (_request, volume, { key }) => dropMetadata(context, 'image', volume.id, key),
      { status: 200 },
    ),
    act(
      'os-show_image_metadata',
      'Show what a volume remembers of its image',
      'volume:get',
      undefined,
      (_request, volume) => ({ metadata: volume.imageMetadata ?? {} }),
      { status: 200, response: shape.ImageMetadata },
    ),
    act('os-volume_upload_image', 'Make an image of a volume', `${actions}:upload_image`, UploadBody, upload(context), {
      response: shape.UploadAnswer,
    }),
    act(
      'revert',
      'Take a volume back to its newest snapshot',
      'volume:revert_to_snapshot',
      Type.Object({ snapshot_id: shape.Uuid }, shape.open('what Cinder overlooks here, too')),
      (request, volume, { snapshot_id }) => operations.revertVolume(context, viewerOf(request), volume, snapshot_id),
      { microversions: { min: '3.40' } },
    ),
    act(
      'os-reimage',
      'Write another image over all that a volume holds',
      'volume:reimage',
      Type.Object({ image_id: shape.Uuid, reimage_reserved: Optional(shape.Flag) }, closed),
      async (request, volume, { image_id, reimage_reserved }) => {
        if (volume.status === 'reserved') request.enforce('volume:reimage_reserved', await target(request))
        await reimageVolume(context, viewerOf(request), volume, { imageId: image_id, reservedToo: truth(reimage_reserved) })
      },
      { microversions: { min: '3.68' } },
    ),
    act(
      'os-retype',
      'Give a volume another type where it lies',
      'volume:retype',
      Type.Object(
        {
          new_type: Type.String({ minLength: 1, maxLength: 255 }),
          migration_policy: Optional(shape.Nullable(shape.Choice(['on-demand', 'never']))),
        },
        closed,
      ),
      (request, volume, { new_type }) => retypeVolume(context, viewerOf(request), volume, new_type),
    ),
    act('os-reserve', 'Reserve a volume', `${actions}:reserve`, undefined, (_request, volume) => legacy.reserve(context, volume)),
    act('os-unreserve', 'Give a reserved volume back', `${actions}:unreserve`, undefined, (_request, volume) =>
      legacy.unreserve(context, volume),
    ),
    act('os-begin_detaching', 'Begin to detach a volume', `${actions}:begin_detaching`, undefined, (_request, volume) =>
      legacy.beginDetaching(context, volume),
    ),
    act('os-roll_detaching', 'Leave a volume attached after all', `${actions}:roll_detaching`, undefined, (_request, volume) =>
      legacy.rollDetaching(context, volume),
    ),
    act(
      'os-initialize_connection',
      'Export a volume to a connector',
      `${actions}:initialize_connection`,
      Type.Object({ connector: shape.Connector }, closed),
      async (_request, volume, { connector }) => connectionView(await legacy.initializeConnection(context, volume, connector)),
      { status: 200, response: shape.Connection },
    ),
    act(
      'os-terminate_connection',
      'End the export of a volume',
      `${actions}:terminate_connection`,
      Type.Object({ connector: shape.Connector }, closed),
      (_request, volume) => legacy.terminateConnection(context, volume),
    ),
    act('os-attach', 'Note that a volume is attached', `${actions}:attach`, AttachBody, (_request, volume, how) => {
      if (!how.instance_uuid && !how.host_name) throw badRequest('Invalid request to attach volume to an invalid target')
      const { instance_uuid, host_name, mountpoint, mode } = how
      const target = { instanceId: instance_uuid ?? null, host: host_name ?? null, mountpoint: mountpoint ?? null, mode: mode ?? 'rw' }
      return legacy.attach(context, volume, target)
    }),
    act('os-detach', 'Note that a volume is detached', `${actions}:detach`, shape.Nullable(DetachBody), (_request, volume, what) =>
      legacy.detach(context, volume, what?.attachment_id ?? null),
    ),
    act(
      'os-force_detach',
      'Detach a volume whatever the guest says (administrators)',
      'volume_extension:volume_admin_actions:force_detach',
      ForceDetachBody,
      (_request, volume, what) => legacy.forceDetach(context, volume, what?.attachment_id ?? null),
    ),
  ]
}

const detaching = { attachment_id: Optional(shape.Nullable(Type.String({ maxLength: 64 }))) }
const DetachBody = Type.Object(detaching, closed)
const ForceDetachBody = Type.Object(
  { ...detaching, connector: Optional(shape.Nullable(Type.Union([shape.Connector, Type.String()]))) },
  closed,
)

const AttachBody = Type.Object(
  {
    instance_uuid: Optional(shape.Nullable(shape.Uuid)),
    host_name: Optional(shape.Name),
    mountpoint: Optional(shape.Name),
    mode: Optional(shape.Nullable(shape.Mode)),
  },
  closed,
)

const UploadBody = Type.Object(
  {
    image_name: Type.String({ minLength: 1, maxLength: 255 }),
    disk_format: Optional(shape.Nullable(shape.Choice(['raw', 'qcow2', 'vmdk', 'vdi', 'vhd', 'vhdx']))),
    container_format: Optional(shape.Nullable(shape.Choice(['bare']))),
    force: Optional(shape.Nullable(shape.Flag)),
    visibility: Optional(shape.Nullable(shape.Choice(['private', 'shared', 'community', 'public']))),
    protected: Optional(shape.Nullable(shape.Flag)),
  },
  closed,
)

const upload = (context: VolumeContext) => async (request: ApiRequest, volume: Volume, asked: any) => {
  const how: operations.Upload = {
    imageName: asked.image_name,
    diskFormat: asked.disk_format ?? 'raw',
    containerFormat: asked.container_format ?? 'bare',
    visibility: asked.visibility ?? 'private',
    protected: truth(asked.protected),
    force: truth(asked.force),
  }
  if (how.visibility === 'public') request.enforce('volume_extension:volume_actions:upload_public')
  const { imageId } = await operations.uploadVolume(context, viewerOf(request), volume, how)
  return {
    'os-volume_upload_image': {
      id: volume.id,
      updated_at: time(volume.updated_at),
      status: 'uploading',
      display_description: volume.description,
      size: volume.size,
      volume_type: { id: volume.type_id, name: volume.typeName },
      image_id: imageId,
      image_name: how.imageName,
      disk_format: how.diskFormat,
      container_format: how.containerFormat,
      ...(request.version.atLeast('3.1') ? { visibility: how.visibility, protected: how.protected } : {}),
    },
  }
}
