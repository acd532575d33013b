import { at, saga, step } from '../../kernel/saga/saga.ts'
import { showBytes } from '../../kernel/units/units.ts'
import { host } from '../rpc.ts'
import * as build from './build.ts'
import { ask, LONG, type ServerRun, serverOf, undoOnItsHost, uuid } from './on-host.ts'
import { giveBack, settle } from './operation.ts'

type Snapshot = ServerRun<{ imageId: string }>
type Backup = ServerRun<{ imageId: string; kind: string; rotation: number }>

/** The image's record was made with the request, so that the user has its id; it goes again when there is no picture to put in. */
const picture = [
  step<Snapshot>(
    null,
    'image-record',
    at.control,
    () => {},
    (run) => run.world.images.remove(run.input.imageId),
  ),
  step<Snapshot>(
    null,
    'take-picture',
    at.host,
    takePicture,
    undoOnItsHost(host.discardSnapshot, (run) => ({ ...uuid(run), imageId: run.input.imageId })),
    { ...build.task('image_uploading'), evidence: (out) => ({ text: `${showBytes(out.bytes)} uploaded`, ...out }) },
  ),
]
const done = step(null, 'done', at.control, settle({}), null)

export const snapshotServer = saga<Snapshot>('snapshot-server', [...picture, done], { failed: giveBack })

/** The oldest go when the new one is there: from then on there is no way back, and one that cannot go is left for the next time. */
export const backupServer = saga<Backup>('backup-server', [...picture, step(null, 'rotate', at.control, rotate, null), done], {
  failed: giveBack,
  pivot: 'take-picture',
})

async function rotate(run: Backup): Promise<{ removed: string[] }> {
  const { images, log } = run.world
  const { serverId, kind, rotation } = run.input
  const filter = { image_type: 'backup', backup_type: kind, instance_uuid: serverId, sort_key: 'created_at', sort_dir: 'desc' }
  const excess = (await images.images(filter)).slice(rotation).map(({ id }) => id)
  for (const id of excess)
    await images.remove(id).catch((error) => log.warn({ err: error, image: id, server: serverId }, 'an old backup is not removed'))
  return { removed: excess }
}

async function takePicture(run: Snapshot) {
  const row = await serverOf(run)
  const running = row.vm_state === 'active'
  return await ask(run, row.host!, host.snapshot, { uuid: row.id, imageId: run.input.imageId, running }, LONG)
}
