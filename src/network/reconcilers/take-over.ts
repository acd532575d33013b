import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import type { NetworkContext } from '../app/context.ts'
import { takeOver } from '../app/scheduling.ts'

/** Routers and address services of hosts that died go on elsewhere. Looks into memory, and into the database only when somebody died. */
export const takeOverReconciler = (context: NetworkContext): Reconciler =>
  new Reconciler({ name: 'take-over', everyMs: 1_000, log: context.log, run: () => takeOver(context) })
