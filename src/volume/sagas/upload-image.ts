import { Fault } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { tellUser } from '../app/message.ts'
import { recordImage, type Upload } from '../app/operations.ts'
import { heldVolume, moveVolume, volumeRow } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, onBackend, type VolumeRun } from './on-storage.ts'

type UploadRun = VolumeRun<{
  host: string | null
  projectId: string
  imageId: string
  upload: Upload
  sizeGiB: number
  properties: Record<string, string>
}>

export const uploadImage = saga<UploadRun>(
  'upload-image',
  [
    step(null, 'create-image', at.control, createImage, removeImage),
    step(null, 'upload', at.storage, upload, null, { evidence: (out) => ({ text: `${out.bytes} bytes to image ${out.imageId}` }) }),
    step(null, 'give-back', at.control, giveBack, null),
  ],
  { failed: tellWhy },
)

async function createImage({ world, input }: UploadRun): Promise<void> {
  await recordImage(world, input)
}

async function removeImage({ world, input }: UploadRun): Promise<void> {
  if (input.upload.protected)
    await world.images.update(input.imageId, [{ op: 'replace', path: '/protected', value: false }]).catch((error) => {
      if (!(error instanceof Fault) || error.status !== 404) throw error
    })
  await world.images.remove(input.imageId)
}

async function upload(run: UploadRun) {
  const { volumeId, imageId, upload: how, host } = run.input
  const what = { volumeId, imageId, diskFormat: how.diskFormat, containerFormat: how.containerFormat }
  return { ...(await ask(run, onBackend(host), storage.uploadToImage, what)), imageId }
}

/** To what it was, or what its attachments made it meanwhile. */
async function giveBack({ world, input }: UploadRun): Promise<void> {
  await world.database.transaction(async (trx) => {
    const row = await heldVolume(trx, input.volumeId)
    const change = { status: row?.previous_status ?? 'available', previous_status: null }
    await moveVolume(trx, input.volumeId, ['uploading'], change)
  })
}

async function tellWhy(run: UploadRun, error: Error): Promise<void> {
  await giveBack(run)
  const row = await volumeRow(run.world.database.db, run.input.volumeId)
  if (!row) return
  const of = { projectId: row.project_id, requestId: run.requestId, kind: 'VOLUME' as const, id: row.id }
  await tellUser(run.world, of, 'copy volume to image', error.message)
}
