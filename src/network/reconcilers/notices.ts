import { Fault } from '../../kernel/errors/errors.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import type { NetworkContext } from '../app/context.ts'

export interface Notice {
  name: string
  server_uuid: string
  tag: string
  status?: string
}

const AT_ONCE = 100

/** Delivers the word for compute that was kept with the changes it speaks of, oldest first; what compute refuses is dropped, what it did not hear is sent again. */
export function noticeReconciler(context: NetworkContext, notifyCompute: (events: Notice[]) => Promise<void>): Reconciler {
  const { database, log } = context
  /** What is refused together is said again one by one: only what compute will never take is dropped. */
  const deliver = async (events: Notice[]): Promise<void> => {
    try {
      await notifyCompute(events)
    } catch (error) {
      if (!(error instanceof Fault) || error.status >= 500 || error.status === 401) throw error
      if (events.length > 1) for (const event of events) await deliver([event])
      else log.warn({ err: error, events }, 'compute refused this word of its ports')
    }
  }
  return new Reconciler({
    name: 'notices',
    everyMs: 10_000,
    log,
    async run() {
      const done: string[] = []
      for (;;) {
        const rows = await database.db.selectFrom('notices').selectAll().orderBy('created_at').orderBy('id').limit(AT_ONCE).execute()
        if (rows.length === 0) return done
        const events = rows.map(({ name, server_uuid, tag, status }) => ({ name, server_uuid, tag, ...(status ? { status } : {}) }))
        await deliver(events)
        await database.db
          .deleteFrom('notices')
          .where(
            'id',
            'in',
            rows.map((row) => row.id),
          )
          .execute()
        done.push(...events.map((event) => `${event.name} of port ${event.tag}`))
        if (rows.length < AT_ONCE) return done // what came meanwhile has woken it
      }
    },
  })
}
