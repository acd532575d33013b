import type { Step } from './saga.ts'

/** Stands between the engine and a step in tests: may fail it, run it twice, or kill the process after a log record. */
export interface Interceptor {
  action?: (step: Step, run: () => Promise<unknown>) => Promise<unknown>
  undo?: (step: Step, run: () => Promise<void>) => Promise<void>
  /** Throwing {@link Killed} here is a kill -9 right after that record. */
  logged?: (record: { saga: string; step: string; event: string }) => void
}

/** The process is gone: nothing more is written by this engine. Only tests throw it. */
export class Killed extends Error {}
