import { at, saga, step } from '../../kernel/saga/saga.ts'
import { showBytes } from '../../kernel/units/units.ts'
import { move } from '../app/server-state.ts'
import { host } from '../rpc.ts'
import { ask, LONG, type ServerRun, serverOf, undoOnItsHost, uuid } from './on-host.ts'
import { giveBack, settle } from './operation.ts'

type Snapshot = ServerRun<{ imageId: string }>

/** The image's record was made with the request, so that the user has its id; it goes again when there is no picture to put in. */
export const snapshotServer = saga<Snapshot>(
  'snapshot-server',
  [
    step(
      null,
      'image-record',
      at.control,
      () => {},
      (run) => run.world.images.remove(run.input.imageId),
    ),
    step(
      null,
      'take-picture',
      at.host,
      takePicture,
      undoOnItsHost(host.discardSnapshot, (run) => ({ ...uuid(run), imageId: run.input.imageId })),
      {
        enter: (run) => move(run.world.database.db, run.input.serverId, { taskState: 'image_uploading' }),
        evidence: (out) => ({ text: `${showBytes(out.bytes)} uploaded`, ...out }),
      },
    ),
    step(null, 'done', at.control, settle({}), null),
  ],
  { failed: giveBack },
)

async function takePicture(run: Snapshot) {
  const row = await serverOf(run)
  const running = row.vm_state === 'active'
  return await ask(run, row.host!, host.snapshot, { uuid: row.id, imageId: run.input.imageId, running }, LONG)
}
