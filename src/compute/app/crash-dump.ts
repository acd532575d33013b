import { conflict } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow, VmState } from '../db/tables.ts'
import { computeTopic, host } from '../rpc.ts'
import { recordAction } from './action.ts'
import type { ComputeContext } from './context.ts'

const WITH_A_KERNEL: VmState[] = ['active', 'paused', 'rescued', 'resized', 'error']

/** Presses the button on which an operating system that is set up for it dumps its memory. @throws Fault 409 for a guest that does not run, or is locked */
export async function triggerCrashDump(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  if (row.locked && !request.isAdmin) throw conflict(`Instance ${row.id} is locked`, 'InstanceIsLocked')
  if (!row.host || !WITH_A_KERNEL.includes(row.vm_state))
    throw conflict(`Cannot 'trigger_crash_dump' instance ${row.id} while it is in vm_state ${row.vm_state}`, 'InstanceInvalidState')
  await recordAction(context.database.db, request, row.id, 'trigger_crash_dump')
  await context.bus.call(computeTopic(row.host), host.injectNmi, { uuid: row.id })
}
