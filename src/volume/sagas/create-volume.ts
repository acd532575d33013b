import { fromJson, toJson } from '../../kernel/db/columns.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { backends } from '../app/backend.ts'
import { tellUser } from '../app/message.ts'
import { choose } from '../app/scheduler.ts'
import type { CreateInput } from '../app/volume.ts'
import { propertiesOf } from '../db/properties.ts'
import { moveVolume, volumeRow } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, tell, type VolumeRun } from './on-storage.ts'

interface Chosen {
  host: string
  freeGiB: number
  zone: string
  asked: number
  alternates: string[]
}

type Create = VolumeRun<CreateInput, { 'schedule-volume': Chosen }>

/** A volume: place, data, and it is available. Step 44 is the request itself (app/volume.ts); step 46, its target, waits for who attaches it. */
export const createVolume = saga<Create>(
  'create-volume',
  [
    step(45, 'schedule-volume', at.scheduler, schedule, unschedule, {
      evidence: (out: Chosen) => ({
        ...out,
        text: `${out.alternates.length + 1} of ${out.asked} back ends fit; ${out.host}: ${Math.floor(out.freeGiB)} GiB free`,
      }),
    }),
    step(47, 'logical-volume', at.storage, makeData, removeData, { evidence: (out) => ({ ...out, text: out.path }) }),
    step(null, 'available', at.control, publish, unpublish),
  ],
  { retry: { from: 'schedule-volume', when: mayGoElsewhere }, failed: tellWhy },
)

/** Another back end may have room, or be reached. */
function mayGoElsewhere(error: Error, run: Create): boolean {
  const { status } = error as Fault
  return [503, 504, 507].includes(status) && (run.outputs['schedule-volume']?.alternates.length ?? 0) > 0
}

async function schedule(run: Create): Promise<Chosen> {
  const { volumeId, sizeGiB, zone, typeId, onlyOn } = run.input
  const { db } = run.world.database
  const row = await volumeRow(db, volumeId)
  if (!row) throw new Fault(404, 'VolumeNotFound', `Volume ${volumeId} could not be found.`)
  const placement = fromJson<Record<string, string> | null>(row.placement_json) ?? {}
  const not = Object.entries(placement)
    .filter(([attempt]) => Number(attempt) < run.attempt)
    .map(([, host]) => host)
  const extraSpecs = (await propertiesOf(db, 'type', [typeId])).get(typeId) ?? {}
  const known = await backends(run.world)
  // what this very volume takes up must not count against it when the step runs again
  const others = known.map((one) => (one.state.name === row.host ? { ...one, pendingGiB: Math.max(0, one.pendingGiB - row.size) } : one))
  const { fit, asked } = choose(others, { sizeGiB, zone, extraSpecs, onlyOn, not })
  const best = fit[0]!
  const place = known.find((one) => one.state.name === best.name)!.state.availabilityZone
  const change = { host: best.name, availability_zone: place, placement_json: toJson({ ...placement, [run.attempt]: best.name }) }
  await moveVolume(db, volumeId, null, change)
  return { host: best.name, freeGiB: best.freeGiB, zone: place, asked, alternates: fit.slice(1).map((one) => one.name) }
}

async function unschedule(run: Create): Promise<void> {
  await moveVolume(run.world.database.db, run.input.volumeId, null, { host: null })
}

async function makeData(run: Create): Promise<{ path: string }> {
  const { volumeId, sizeGiB, imageId, snapshotId, snapshotVolumeId, sourceVolumeId } = run.input
  const { host } = run.outputs['schedule-volume']
  const volume = { volumeId, sizeGiB }
  if (imageId) return await ask(run, host, storage.createFromImage, { ...volume, imageId })
  if (snapshotId) return await ask(run, host, storage.createFromSnapshot, { ...volume, snapshotId, sourceVolumeId: snapshotVolumeId! })
  if (sourceVolumeId) return await ask(run, host, storage.createFromVolume, { ...volume, sourceVolumeId })
  return await ask(run, host, storage.create, volume)
}

async function removeData(run: Create): Promise<void> {
  await tell(run, run.outputs['schedule-volume'].host, storage.remove, { volumeId: run.input.volumeId })
}

async function publish(run: Create): Promise<void> {
  const change = { status: 'available', bootable: run.input.bootable ? 1 : 0, placement_json: null }
  await moveVolume(run.world.database.db, run.input.volumeId, ['creating'], change)
}

async function unpublish(run: Create): Promise<void> {
  await moveVolume(run.world.database.db, run.input.volumeId, ['available'], { status: 'creating', bootable: 0 })
}

async function tellWhy(run: Create, error: Error): Promise<void> {
  const { world, input } = run
  const row = await volumeRow(world.database.db, input.volumeId)
  if (!row || !(await moveVolume(world.database.db, input.volumeId, ['creating'], { status: 'error' }))) return
  const of = { projectId: row.project_id, requestId: run.requestId, kind: 'VOLUME' as const, id: row.id }
  await tellUser(world, of, 'schedule allocate volume', error.message)
}
