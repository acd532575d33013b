import type { StepRecord } from '../trace/trace.ts'

/** Where a step runs: for the reader, the trace and the tests; host steps send their action over the bus. */
export type Place = 'control' | 'conductor' | 'scheduler' | 'host' | 'network' | 'storage'

export const at = {
  control: 'control',
  conductor: 'conductor',
  scheduler: 'scheduler',
  host: 'host',
  network: 'network',
  storage: 'storage',
} as const satisfies Record<Place, Place>

/** One run of a saga, as its steps see it. `World` is the service's context, `Input` what the request asked, `Outputs` what each done step recorded. */
export interface Run<World = any, Input = any, Outputs = any> {
  readonly id: string
  readonly kind: string
  /** What it is about: `server:<id>`. Sagas of one subject run one after the other. */
  readonly subject: string
  readonly requestId: string | null
  readonly input: Input
  readonly world: World
  /** By step name; only steps before this one are there. After a retry only those that still stand. */
  readonly outputs: Outputs
  /** 0, then 1 for the first alternate, ... */
  readonly attempt: number
  /** Aborted when the saga is told to stop (its server is deleted): long waits listen to it. */
  readonly signal: AbortSignal
  /** Of this step and attempt: what makes a repeated message harmless. */
  readonly key: string
  /** What steps that follow one another at one place may keep for each other. Empty again at the next place, and in undos. */
  readonly stretch: Map<string, unknown>
}

export type Action<R extends Run = Run, Output = any> = (run: R) => Promise<Output> | Output

/**
 * Takes back what the action did. `output` is what the action recorded, or null when it failed or was cut off: ids are made in earlier steps or in the input, so
 * that an undo never looks a name up again. Runs at least once: it is idempotent.
 */
export type Undo<R extends Run = Run, Output = any> = (run: R, output: Output | null) => Promise<void> | void

export interface Step<R extends Run = Run> {
  /** The article's number, or null for a step that it does not name. */
  number: number | null
  name: string
  at: Place
  action: Action<R>
  undo: Undo<R> | null
  /** Runs on control before the action: state that users see (task_state). */
  enter?: (run: R) => Promise<void> | void
  /** It changes nothing anywhere: after a kill it is done again like all that only looked since the last step that acts, so that their records are written together before the next one that does. */
  looks?: boolean
  /** What a user can look at when it is done. */
  evidence?: (output: any, run: R) => StepRecord['evidence']
}

export interface Saga<R extends Run = Run> {
  kind: string
  steps: Step<R>[]
  /** A failure that another alternate may mend: unwinds back to `from` (which runs again with the next attempt) instead of to the start. */
  retry?: { from: string; when: (error: Error, run: R) => boolean }
  /** When this step is done there is no way back: a later one that fails is tried until it works, and nothing interrupts it. */
  pivot?: string
  /** After everything is unwound: what the user is told (vm_state error, fault). Idempotent. */
  failed?: (run: R, error: Error) => Promise<void> | void
}

/** `undo` is null only where a comment beside it says why nothing has to be taken back. */
export function step<R extends Run>(
  number: number | null,
  name: string,
  place: Place,
  action: Action<R>,
  undo: Undo<R> | null,
  more: Pick<Step<R>, 'enter' | 'evidence' | 'looks'> = {},
): Step<R> {
  return { number, name, at: place, action, undo, ...more }
}

export function saga<R extends Run>(kind: string, steps: Step<R>[], more: Pick<Saga<R>, 'retry' | 'pivot' | 'failed'> = {}): Saga<R> {
  const names = new Set(steps.map((one) => one.name))
  if (names.size !== steps.length) throw new Error(`saga ${kind}: two steps have the same name`)
  if (more.pivot && !names.has(more.pivot)) throw new Error(`saga ${kind}: no step ${more.pivot} to turn at`)
  if (more.retry && !names.has(more.retry.from)) throw new Error(`saga ${kind}: no step ${more.retry.from} to retry from`)
  return { kind, steps, ...more }
}
