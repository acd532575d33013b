import { whoRuns } from '../cloud/lock.ts'
import { showMs } from '../kernel/units/units.ts'
import { adminApi, stateArgs } from './session.ts'
import { table } from './table.ts'

export async function run(argv: string[]): Promise<number> {
  const { stateDir, json, help } = stateArgs(argv)
  if (help) {
    console.log(
      'What runs on a state directory: processes, queues, nodes of database and broker, hosts, agents, servers.\n\nUsage: npx yun status [--state DIR] [--json]',
    )
    return 0
  }
  const running = await whoRuns(stateDir)
  if (!running) {
    console.log(`no cloud runs on ${stateDir}`)
    return 3
  }
  const api = await adminApi(stateDir)
  const { ms } = await api.authenticate()
  const [{ services }, { agents }, { services: volumes }, { servers }, cluster] = await Promise.all([
    api.get('/compute/v2.1/os-services'),
    api.get('/network/v2.0/agents'),
    api.get('/volume/v3/os-services'),
    api.get('/compute/v2.1/servers/detail?all_tenants=1'),
    api.get('/cluster/v1/processes'),
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
        {
          ...running,
          ...cluster,
          services: rows,
          servers: servers.map((one: any) => ({ id: one.id, name: one.name, status: one.status })),
        },
        null,
        2,
      ),
    )
    return 0
  }
  console.log(`cloud on ${stateDir}: pid ${running.pid}, ${running.url}, since ${running.startedAt}; a token takes ${showMs(ms)}`)
  for (const notice of running.notices) console.log(`  ${notice}`)
  for (const line of clusterLines(cluster)) console.log(line)
  console.log(table(['Binary', 'Host', 'Status', 'State', 'Last heartbeat'], rows))
  console.log(
    table(
      ['ID', 'Name', 'Status'],
      servers.map((one: any) => [one.id, one.name, one.status]),
    ),
  )
  return 0
}

interface ClusterState {
  processes: { role: string; host: string; pid: number; version: string; alive: boolean; started_at: string; last_seen_at: string }[]
  bus: { kind: string; nodes: { name: string; state: string }[]; queues: { topic: string; waiting: number; receivers: number }[] }
  database: { node: string; state: string; size: number }[]
}

function clusterLines({ processes, bus, database }: ClusterState): string[] {
  const nodes = (list: { name: string; state: string }[]) => list.map(({ name, state }) => `, ${name} ${state}`).join('')
  const waiting = bus.queues.filter((queue) => queue.waiting > 0 || queue.receivers === 0)
  return [
    ...database.map(({ node, state, size }) => `database ${node} ${state}${size > 1 ? `, sees ${size} nodes` : ''}`),
    `bus ${bus.kind}${nodes(bus.nodes)}, ${bus.queues.length} queues, ${bus.queues.reduce((sum, queue) => sum + queue.waiting, 0)} messages waiting`,
    ...waiting.map(({ topic, waiting, receivers }) => `  ${topic}: ${waiting} waiting, ${receivers} receivers`),
    table(
      ['Process', 'Host', 'Pid', 'Version', 'State', 'Since', 'Last heartbeat'],
      processes.map((one) => [
        one.role,
        one.host,
        String(one.pid),
        one.version,
        one.alive ? 'alive' : 'silent',
        one.started_at,
        one.last_seen_at,
      ]),
    ),
  ]
}
