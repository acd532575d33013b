import { at, saga, step } from '../../kernel/saga/saga.ts'
import { failAction } from '../app/action.ts'
import { formerConnection } from '../app/volume-connection.ts'
import { blockDevicesOf } from '../db/instances.ts'
import { host } from '../rpc.ts'
import { ask, type ServerRun, serverOf } from './on-host.ts'

type Extend = ServerRun<{ volumeId: string }, { 'new-size': { sizeGiB: number } }>

/** The volume has grown already, so nothing is taken back: a guest that cannot be told sees the new size when it is started again. */
export const extendVolume = saga<Extend>(
  'extend-volume',
  [
    step(null, 'new-size', at.control, newSize, null, { evidence: ({ sizeGiB }) => ({ text: `${sizeGiB} GiB` }) }),
    step(null, 'extend-disk', at.host, extendDisk, null),
  ],
  { failed: (run, error) => failAction(run.world.database.db, run.input.serverId, run.requestId, error.message) },
)

const devices = ({ world, input }: Extend) => blockDevicesOf(world.database.db, [input.serverId])

async function newSize(run: Extend): Promise<{ sizeGiB: number }> {
  const { volumeId, serverId } = run.input
  const { size } = await run.world.volumes.volume(volumeId)
  const own = run.world.database.db.updateTable('block_devices').set({ size }).where('server_id', '=', serverId)
  await own.where('volume_id', '=', volumeId).execute()
  return { sizeGiB: size }
}

/** It may have been detached meanwhile, or its server put away: then there is nobody to tell. */
async function extendDisk(run: Extend): Promise<void> {
  const row = await serverOf(run)
  const device = (await devices(run)).find((one) => one.volume_id === run.input.volumeId)
  if (!row.host || !device) return
  const connection = { ...formerConnection(device), sizeGiB: run.outputs['new-size'].sizeGiB }
  await ask(run, row.host, host.extendVolume, { uuid: row.id, connection })
}
