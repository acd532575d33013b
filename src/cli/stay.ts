import type { Cloud } from '../cloud/cloud.ts'

/** Calls `act` at the first of the signals that ask this process to end. */
export function onSignal(act: () => void): void {
  let asked = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (asked) return
      asked = true
      act()
    })
}

/** The exit code, once the process was asked to stop and has done so in order. */
export const stayUntilStopped = (cloud: Cloud): Promise<number> =>
  new Promise((resolve) =>
    onSignal(() =>
      cloud.stop().then(
        () => resolve(0),
        (error: Error) => {
          console.error(`yun: ${error.message}`)
          resolve(1)
        },
      ),
    ),
  )
