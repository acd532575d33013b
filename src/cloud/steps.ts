import { COMPUTE_CONTROL, stepsRecorded } from '../compute/rpc.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { onStep, type StepRecord } from '../kernel/trace/trace.ts'

/** Every step that this process, which is not compute's own, records goes to compute, which keeps them: those of one moment together. What is lost on the way is a gap in a story and nothing more. */
export function forwardSteps(bus: Bus): () => void {
  let waiting: StepRecord[] = []
  const send = () => {
    bus.cast(COMPUTE_CONTROL, stepsRecorded, waiting).catch(() => {})
    waiting = []
  }
  return onStep((record) => {
    if (waiting.push(record) === 1) setImmediate(send)
  })
}
