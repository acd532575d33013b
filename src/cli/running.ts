import { whoRuns } from '../cloud/lock.ts'
import { stateArgs } from './session.ts'

export async function run(argv: string[]): Promise<number> {
  const { stateDir, help } = stateArgs(argv)
  if (help) {
    console.log(
      'Whether a process runs on a state directory: 0 when it is ready, 1 while it is being started, 3 when there is none.\n\nUsage: npx yun running [--state DIR]',
    )
    return 0
  }
  const running = await whoRuns(stateDir)
  console.log(running ? `pid ${running.pid}, ${running.url}, ${running.ready ? 'ready' : 'being started'}` : `nothing runs on ${stateDir}`)
  return running ? (running.ready ? 0 : 1) : 3
}
