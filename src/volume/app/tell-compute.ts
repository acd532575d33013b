import { setTimeout } from 'node:timers/promises'
import { Fault } from '../../kernel/errors/errors.ts'
import { attachmentsOf } from '../db/attachments.ts'
import type { Notice, VolumeContext } from './context.ts'

const AGAIN_MS = 500

/**
 * Tells compute of each server that has the volume; answers of how many. Asked again while compute is being started.
 * @throws Fault when it does not answer for longer
 */
export async function tellCompute(
  context: VolumeContext,
  { name, volumeId, status = 'completed' }: { name: Notice['name']; volumeId: string; status?: Notice['status'] },
): Promise<number> {
  const servers = (await attachmentsOf(context.database.db, volumeId)).flatMap((one) => one.instance_id ?? [])
  const notices = [...new Set(servers)].map((server_uuid) => ({ name, server_uuid, tag: volumeId, status }))
  if (notices.length === 0) return 0
  for (const patience = Date.now() + context.settings.hostPatienceMs; ; await setTimeout(AGAIN_MS))
    try {
      await context.notifyCompute(notices)
      return notices.length
    } catch (error) {
      const passes = !(error instanceof Fault) || error.status >= 500
      if (!passes || Date.now() >= patience) throw error
    }
}
