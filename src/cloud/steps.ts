import { COMPUTE_CONTROL, stepRecorded } from '../compute/rpc.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { onStep } from '../kernel/trace/trace.ts'

/** Every step that this process records goes to compute, which keeps them; one that is lost on the way is a gap in a story and nothing more. */
export const forwardSteps = (bus: Bus): (() => void) =>
  onStep((record) => void bus.cast(COMPUTE_CONTROL, stepRecorded, record).catch(() => {}))
