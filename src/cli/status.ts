import { whoRuns } from '../cloud/lock.ts'
import { showMs } from '../kernel/units/units.ts'
import { adminApi, stateArgs } from './session.ts'
import { table } from './table.ts'

export async function run(argv: string[]): Promise<number> {
  const { stateDir, json, help } = stateArgs(argv)
  if (help) {
    console.log('What runs on a state directory: process, APIs, hosts, agents, servers.\n\nUsage: npx yun status [--state DIR] [--json]')
    return 0
  }
  const running = await whoRuns(stateDir)
  if (!running) {
    console.log(`no cloud runs on ${stateDir}`)
    return 3
  }
  const api = await adminApi(stateDir)
  const { ms } = await api.authenticate()
  const [{ services }, { agents }, { services: volumes }, { servers }] = await Promise.all([
    api.get('/compute/v2.1/os-services'),
    api.get('/network/v2.0/agents'),
    api.get('/volume/v3/os-services'),
    api.get('/compute/v2.1/servers/detail?all_tenants=1'),
  ])
  const rows = [
    ...[...services, ...volumes].map((one: any) => [one.binary, one.host, one.status, one.state, one.updated_at ?? '']),
    ...agents.map((one: any) => [
      one.binary,
      one.host,
      one.admin_state_up ? 'enabled' : 'disabled',
      one.alive ? 'up' : 'down',
      one.heartbeat_timestamp ?? '',
    ]),
  ]
  if (json) {
    console.log(
      JSON.stringify(
        { ...running, services: rows, servers: servers.map((one: any) => ({ id: one.id, name: one.name, status: one.status })) },
        null,
        2,
      ),
    )
    return 0
  }
  console.log(`cloud on ${stateDir}: pid ${running.pid}, ${running.url}, since ${running.startedAt}; a token takes ${showMs(ms)}`)
  for (const notice of running.notices) console.log(`  ${notice}`)
  console.log(table(['Binary', 'Host', 'Status', 'State', 'Last heartbeat'], rows))
  console.log(
    table(
      ['ID', 'Name', 'Status'],
      servers.map((one: any) => [one.id, one.name, one.status]),
    ),
  )
  return 0
}
