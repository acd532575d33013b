import { at, saga, step } from '../../kernel/saga/saga.ts'
import { showBytes } from '../../kernel/units/units.ts'
import { settleStatus } from '../app/attachment-status.ts'
import { tellUser } from '../app/message.ts'
import { tellCompute } from '../app/tell-compute.ts'
import { type Properties, replaceProperties } from '../db/properties.ts'
import { heldVolume, holdVolume, moveVolume } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, onBackend, tell, type VolumeRun } from './on-storage.ts'

type Reimage = VolumeRun<{ host: string; sizeGiB: number; imageId: string; imageMetadata: Properties }>

const image = ({ bytes }: { bytes: number }, run: Reimage) => ({ bytes, text: `${showBytes(bytes)} of image ${run.input.imageId}` })

/** The image is fetched and looked at first: a volume whose image does not do is what it was. Once writing begins what it held is gone. */
export const reimageVolume = saga<Reimage>(
  'reimage-volume',
  [
    step(null, 'fetch-image', at.storage, fetch, drop, { evidence: image }),
    step(null, 'write-image', at.storage, write, null, { enter: nowayBack, evidence: image }), // fails: the volume is in error
    step(null, 'settle', at.control, settle, null),
    step(null, 'tell-compute', at.control, tellDone, null, {
      evidence: ({ servers }) => ({ text: servers === 0 ? 'no server has it' : `of ${servers} server${servers === 1 ? '' : 's'}` }),
    }),
  ],
  { pivot: 'write-image', failed },
)

const what = ({ input: { volumeId, sizeGiB, imageId } }: Reimage) => ({ volumeId, sizeGiB, imageId })

function fetch(run: Reimage) {
  return ask(run, onBackend(run.input.host), storage.fetchImage, what(run))
}

function drop(run: Reimage) {
  return tell(run, run.input.host, storage.dropImage, { volumeId: run.input.volumeId })
}

function write(run: Reimage) {
  return ask(run, onBackend(run.input.host), storage.reimage, what(run))
}

/** What it goes back to from here on, should that fail. */
async function nowayBack(run: Reimage): Promise<void> {
  await moveVolume(run.world.database.db, run.input.volumeId, ['downloading'], { previous_status: 'error' })
}

async function settle(run: Reimage): Promise<void> {
  const { volumeId, imageMetadata } = run.input
  await run.world.database.transaction(async (trx) => {
    await holdVolume(trx, volumeId)
    await moveVolume(trx, volumeId, null, { bootable: 1 })
    await replaceProperties(trx, 'image', volumeId, imageMetadata)
    if (await moveVolume(trx, volumeId, ['downloading'], { status: 'available', previous_status: null })) await settleStatus(trx, volumeId)
  })
}

/** A word that does not arrive costs time and nothing else: compute asks by itself, too. */
async function tellDone(run: Reimage): Promise<{ servers: number }> {
  const { world, input } = run
  const notice = { name: 'volume-reimaged' as const, volumeId: input.volumeId }
  try {
    return { servers: await tellCompute(world, notice) }
  } catch (error) {
    world.log.warn({ err: error, volumeId: input.volumeId }, 'compute does not hear that a volume has another image')
    return { servers: 0 }
  }
}

async function failed(run: Reimage, error: Error): Promise<void> {
  const { world, input } = run
  const { volumeId } = input
  const told = await world.database.transaction(async (trx) => {
    const row = await heldVolume(trx, volumeId)
    if (row?.status !== 'downloading') return false
    const of = { projectId: row.project_id, requestId: run.requestId, kind: 'VOLUME' as const, id: volumeId }
    await tellUser({ database: { db: trx } }, of, 'reimage volume', error.message)
    const inError = row.previous_status === 'error'
    await moveVolume(trx, volumeId, ['downloading'], { status: inError ? 'error' : 'available', previous_status: null })
    if (!inError) await settleStatus(trx, volumeId)
    return true
  })
  if (!told) return
  await tellCompute(world, { name: 'volume-reimaged', volumeId, status: 'failed' }).catch((unheard) =>
    world.log.warn({ err: unheard, volumeId }, 'compute does not hear that a volume has no other image'),
  )
}
