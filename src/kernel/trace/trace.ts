import { AsyncLocalStorage } from 'node:async_hooks'

/** A thing that was done to the world while a step ran: a program, an OVSDB transaction, a libvirt call. */
export interface Command {
  /** As one would type it, or as the protocol names it. Never holds a secret. */
  what: string
  ms: number
  /** The first lines of what it answered. */
  output?: string
}

/** One of the article's fifty steps as it happened, once, to one subject. */
export interface StepRecord {
  /** What it happened to: `server:<id>`, `port:<id>`, `volume:<id>` or `token:<audit id>`; a server's trace joins those of its parts. */
  subject: string
  step: number
  /** Kebab-case, as in docs/steps.md. */
  name: string
  service: string
  /** The API request that caused it. */
  requestId?: string
  /** The saga it was part of: `create-server`. */
  saga?: string
  /** ms since the epoch, with fractions. */
  startedAt: number
  ms: number
  outcome: 'done' | 'failed' | 'undone'
  /** What a user can look at: a row id, a lease, a file, numbers. `text` is the one line shown in the live view. */
  evidence: { text: string; [key: string]: unknown }
  commands?: Command[]
}

export type StepListener = (record: StepRecord) => void

interface Scope {
  commands: Command[]
}

const scope = new AsyncLocalStorage<Scope>()
const listeners = new Set<StepListener>()

/** Called by whoever touches the world (exec, OVSDB, libvirt): remembered as evidence if a step is running. */
export function noteCommand(command: Command): void {
  scope.getStore()?.commands.push({ ...command, output: command.output?.slice(0, 2000) })
}

/** Hears every step record made in this process; the cloud forwards them over the bus to the compute service, which keeps them. */
export function onStep(listener: StepListener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function record(step: StepRecord): void {
  for (const listener of listeners) listener(step)
}

/** ms since the epoch with sub-millisecond resolution. */
export const now = (): number => performance.timeOrigin + performance.now()

/** Runs `action` and collects the commands it gives out (into `commands`, which hold them also when it fails); used by sagas, the bus and {@link traced}. */
export async function collecting<T>(action: () => Promise<T> | T, commands: Command[] = []): Promise<{ value: T; commands: Command[] }> {
  const value = await scope.run({ commands }, async () => await action())
  return { value, commands }
}

/**
 * Runs `action` as step `step` of `subject` and records it with its duration, the commands it gave out, and the evidence that `evidence` reads from its result.
 * A failure is recorded too and thrown on.
 */
export async function traced<T>(
  of: { subject: string; step: number; name: string; service: string },
  action: () => Promise<T> | T,
  evidence: (value: T) => StepRecord['evidence'],
): Promise<T> {
  const startedAt = now()
  const commands: Command[] = []
  try {
    const value = await scope.run({ commands }, async () => await action())
    record({ ...of, startedAt, ms: now() - startedAt, outcome: 'done', evidence: evidence(value), commands })
    return value
  } catch (error) {
    record({ ...of, startedAt, ms: now() - startedAt, outcome: 'failed', evidence: { text: (error as Error).message }, commands })
    throw error
  }
}
