import { askToStop, whoRuns } from '../cloud/lock.ts'
import { until } from './api.ts'
import { stateArgs } from './session.ts'

export async function run(argv: string[]): Promise<number> {
  const { stateDir, help } = stateArgs(argv)
  if (help) {
    console.log(
      'Stops the cloud of a state directory in order. Its guests go on running and are found again at the next start.\n\nUsage: npx yun stop [--state DIR]',
    )
    return 0
  }
  const running = await whoRuns(stateDir)
  if (!running) {
    console.log(`no cloud runs on ${stateDir}`)
    return 0
  }
  await askToStop(stateDir)
  await until('the cloud to stop', 60_000, async () => (await whoRuns(stateDir)) === null)
  console.log(`stopped the cloud on ${stateDir} (pid ${running.pid})`)
  return 0
}
