import { timestamp } from '../../kernel/db/columns.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { deleteAttachment } from '../app/attachment.ts'
import type { VolumeContext } from '../app/context.ts'
import { attachmentsIn } from '../db/attachments.ts'
import { deleteMessagesBefore } from '../db/messages.ts'

const MESSAGES_KEPT_MS = 30 * 24 * 3_600_000

/** Ends detachings that were cut off, and forgets messages that nobody read for a month. */
export const attachmentReconciler = (context: VolumeContext, options: { everyMs: number; staleMs: number }) =>
  new Reconciler({
    name: 'volume-attachments',
    everyMs: options.everyMs,
    log: context.log,
    async run() {
      const changes: string[] = []
      const { db } = context.database
      for (const row of await attachmentsIn(db, 'detaching', timestamp(Date.now() - options.staleMs))) {
        await deleteAttachment(context, row)
        changes.push(`detached volume ${row.volume_id}, whose detaching was cut off`)
      }
      const old = await deleteMessagesBefore(db, timestamp(Date.now() - MESSAGES_KEPT_MS))
      if (old > 0) changes.push(`${old} old messages forgotten`)
      return changes
    },
  })
