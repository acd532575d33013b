import type { RequestContext } from '../../kernel/http/context.ts'
import { blockDevicesOf } from '../db/instances.ts'
import { recordAction } from './action.ts'
import type { ComputeContext } from './context.ts'

/** Volumes that servers have are larger: their guests are told, each after what is under way with its server. Of a volume that its server has not nothing comes. */
export async function volumesExtended(
  { database, engine }: ComputeContext,
  request: RequestContext,
  events: { serverId: string; volumeId: string }[],
): Promise<void> {
  const devices = await blockDevicesOf(database.db, [...new Set(events.map((one) => one.serverId))])
  const has = ({ serverId, volumeId }: (typeof events)[number]) =>
    devices.some((one) => one.server_id === serverId && one.volume_id === volumeId)
  const { requestId } = request
  for (const [serverId, own] of Map.groupBy(events.filter(has), (one) => one.serverId)) {
    const subject = `server:${serverId}`
    await database.transaction(async (trx) => {
      await recordAction(trx, request, serverId, 'extend_volume')
      for (const { volumeId } of own) await engine.submit(trx, { kind: 'extend-volume', subject, requestId, input: { serverId, volumeId } })
    })
    engine.wake(subject)
  }
}
