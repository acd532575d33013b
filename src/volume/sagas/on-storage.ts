import type { Message } from '../../kernel/bus/bus.ts'
import { Fault, unavailable } from '../../kernel/errors/errors.ts'
import type { Run } from '../../kernel/saga/saga.ts'
import type { VolumeContext } from '../app/context.ts'
import { volumeTopic } from '../rpc.ts'

export type VolumeRun<Input = Record<string, never>, Outputs = any> = Run<VolumeContext, { volumeId: string } & Input, Outputs>

/** Copies and images take their time. */
const TIMEOUT_MS = 3_600_000
const POLL_MS = 100

/** Asks a storage host. One that is being started is waited for. @throws Fault 503 NoReceiver when it does not come */
export async function ask<In, Out>(run: VolumeRun<any>, backend: string, message: Message<In, Out>, payload: In): Promise<Out> {
  const patience = Date.now() + run.world.settings.hostPatienceMs
  for (;;) {
    try {
      const options = { timeoutMs: TIMEOUT_MS, key: run.key, requestId: run.requestId ?? undefined }
      return await run.world.bus.call(volumeTopic(backend), message, payload, options)
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'NoReceiver' || Date.now() >= patience || run.signal.aborted) throw error
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }
}

/** For undos: tried again by the engine until the host answers, so without a key that would repeat an old answer. */
export async function tell<In>(run: VolumeRun<any>, backend: string | null, message: Message<In, unknown>, payload: In): Promise<void> {
  if (backend === null) return
  await run.world.bus.call(volumeTopic(backend), message, payload, { timeoutMs: TIMEOUT_MS })
}

/** @throws Fault 503 */
export function onBackend(host: string | null): string {
  if (host === null) throw unavailable('The volume lies on no back end.', 'NoBackend')
  return host
}
