import { hostname } from 'node:os'
import { FLAGS, readFlags, settingsOf } from '../cloud/settings.ts'
import { showMs } from '../kernel/units/units.ts'
import { stayUntilStopped } from './stay.ts'

const HELP = `Runs the APIs, schedulers and sagas of a cloud whose guests, networks and disks are on hosts of their own (yun host).

With SQLite it is the only one, and hosts reach its bus by WebSocket on the port of the API. With "database" and "brokers" in the configuration any number of control
processes share the work, behind any load balancer. "sharedDir" is then a directory that all of them see: secrets, keys and images.

Usage: npx yun control [options]

  --config FILE          all settings, in YAML
  --state DIR            where everything of this process lies (root: /var/lib/yun)
  --host ADDRESS         listen address (127.0.0.1); hosts elsewhere must reach it
  --port N               API port (5000)
  --log-level LEVEL      of DIR/yun.log (info)
  --development          check every answer against its schema
`

export async function run(argv: string[]): Promise<number> {
  const values = readFlags(argv, FLAGS)
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const settings = settingsOf(values, hostname(), { real: false })
  const started = performance.now()
  const { startControl } = await import('../cloud/cloud.ts')
  const { portFault } = await import('./up.ts')
  const cloud = await startControl(settings).catch((error) => {
    throw error.syscall === 'listen' ? portFault(error, settings) : error
  })
  console.log(` Control    · all APIs answer on ${cloud.url} after ${showMs(performance.now() - started)}`)
  console.log(` Hosts      · join with a token: npx yun join-token --state ${settings.stateDir}`)
  return await stayUntilStopped(cloud)
}
