import Type, { type TSchema } from 'typebox'
import { type ApiRequest, Reply } from '../../kernel/http/route.ts'
import { createBackup } from '../app/backup.ts'
import type { ComputeContext } from '../app/context.ts'
import { imageBacked } from '../app/instance-spec.ts'
import { checkImageMetadata, createImage } from '../app/snapshot.ts'
import { pictureOfVolumes } from '../app/volume-picture.ts'
import type { Action } from './action-entry.ts'
import { Count, closed, Metadata, Name } from './common.ts'

/** Images of servers. Before 2.45 their address tells which they are, since then the answer does. */
export function pictureActions(context: ComputeContext): [string, Action][] {
  return [
    snapshot(context, { max: '2.44' }),
    snapshot(context, { min: '2.45' }, ImageId),
    backup(context, { max: '2.44' }),
    backup(context, { min: '2.45' }, ImageId),
  ]
}

const ImageId = Type.Object({ image_id: Type.String() })

const snapshot = (context: ComputeContext, microversions: Action['microversions'], response?: TSchema): [string, Action] => [
  'createImage',
  {
    doc: 'Make an image of a server',
    policy: 'servers:create_image',
    microversions,
    response,
    body: Type.Object({ name: Name, metadata: Type.Optional(Metadata) }, closed),
    async run(row, request) {
      const { name, metadata = {} } = request.body.createImage
      await checkMetadata(context, request, metadata)
      if (!imageBacked(row)) request.enforce('os_compute_api:servers:create_image:allow_volume_backed', { project_id: row.project_id })
      const make = imageBacked(row) ? createImage : pictureOfVolumes
      const id = await make(context, request.context, row, { name, metadata })
      return response ? { image_id: id } : located(request, id)
    },
  },
]

const backup = (context: ComputeContext, microversions: Action['microversions'], response?: TSchema): [string, Action] => [
  'createBackup',
  {
    doc: 'Make an image of a server and keep as many of its kind as are wanted: the oldest go',
    policy: 'os-create-backup',
    microversions,
    response,
    body: Type.Object({ name: Name, backup_type: Type.String(), rotation: Count(0), metadata: Type.Optional(Metadata) }, closed),
    async run(row, request) {
      const { name, backup_type: kind, rotation, metadata = {} } = request.body.createBackup
      await checkMetadata(context, request, metadata)
      const id = await createBackup(context, request.context, row, { name, metadata, kind, rotation: Number(rotation) })
      if (response) return { image_id: id }
      return Number(rotation) > 0 ? located(request, id) : undefined
    },
  },
]

/** Until 2.39 an image's metadata counted against a quota of compute. @throws Fault 403 */
async function checkMetadata(context: ComputeContext, request: ApiRequest, metadata: Record<string, string>): Promise<void> {
  if (!request.version.atLeast('2.39')) await checkImageMetadata(context, request.context, metadata)
}

const located = (request: ApiRequest, id: string) =>
  new Reply(undefined, { status: 202, headers: { Location: `${new URL(request.link('/')).origin}/image/v2/images/${id}` } })
