import { Fault } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import type { SnapshotDocument } from '../../volume/client.ts'
import * as build from './build.ts'
import type { ServerRun } from './on-host.ts'
import { giveBack, settle } from './operation.ts'

type Pictures = ServerRun<{ imageId: string; name: string; snapshots: { id: string; volumeId: string }[] }>

/** The image is a record that names snapshots: it becomes active, without a byte, when all of them are there. Of one that fails nothing stays, neither record nor snapshots. */
export const snapshotVolumes = saga<Pictures>(
  'snapshot-volumes',
  [
    step(
      null,
      'image-record',
      at.control,
      () => {}, // made with the request
      (run) => run.world.images.remove(run.input.imageId),
    ),
    step(null, 'take-snapshots', at.control, takeSnapshots, removeSnapshots, {
      ...build.task('image_pending_upload'),
      evidence: (out) => ({ text: `${out.snapshots.length} volumes`, ...out }),
    }),
    step(null, 'activate', at.control, activate, null, build.task('image_uploading')), // goes with the record
    step(null, 'done', at.control, settle({}), null),
  ],
  { failed: giveBack },
)

async function takeSnapshots(run: Pictures): Promise<{ snapshots: string[] }> {
  const { name, snapshots } = run.input
  for (const { id, volumeId } of snapshots) await run.world.volumes.createSnapshot({ id, volume_id: volumeId, name, force: true })
  for (const { id, volumeId } of snapshots) {
    const made = await settled(run, id, run.signal)
    if (made?.status !== 'available')
      throw new Fault(500, 'SnapshotFailed', `The snapshot ${id} of volume ${volumeId} was not made: it is ${made?.status ?? 'gone'}.`)
  }
  return { snapshots: snapshots.map(({ id }) => id) }
}

async function removeSnapshots(run: Pictures): Promise<void> {
  for (const { id } of run.input.snapshots) {
    if (!(await settled(run, id))) continue
    await run.world.volumes.deleteSnapshot(id)
    await settled(run, id)
  }
}

async function activate(run: Pictures): Promise<void> {
  const { images, input } = { ...run.world, input: run.input }
  if ((await images.image(input.imageId)).status !== 'active') await images.upload(input.imageId, new Uint8Array())
}

const POLL_MS = 100
const BUSY = ['creating', 'deleting']

/** A snapshot that nobody works on any more; null when it is gone. Who gives up gives it up by `signal`. */
async function settled(run: Pictures, id: string, signal?: AbortSignal): Promise<SnapshotDocument | null> {
  for (;;) {
    const snapshot = await run.world.volumes.snapshot(id).catch((error) => {
      if (error instanceof Fault && error.status === 404) return null
      throw error
    })
    if (!snapshot || !BUSY.includes(snapshot.status)) return snapshot
    signal?.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
