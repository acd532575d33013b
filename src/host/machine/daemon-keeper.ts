import type { Log } from '../../kernel/log/log.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { type DaemonOptions, diedOf, ensureDaemons } from './daemons.ts'

const EVERY_MS = 2_000

/** Starts again what Yun started and what has ended since; the machine's own daemons are its service manager's to look after. */
export function daemonKeeper(options: DaemonOptions, log: Log): Reconciler {
  return new Reconciler({
    name: 'daemons',
    everyMs: EVERY_MS,
    log,
    async run() {
      const parts = diedOf(options)
      if (parts.length === 0) return []
      log.warn({ parts }, 'a daemon has ended by itself and is started again')
      return (await ensureDaemons({ ...options, parts })).filter((one) => one.startedNow).map((one) => one.text)
    },
  })
}
