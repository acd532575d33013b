import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readFlags } from '../cloud/settings.ts'
import { conflict } from '../kernel/errors/errors.ts'

const HELP = `Writes commented configurations for a cloud of several machines.

Usage: npx yun init [options]

  --cluster              for several control processes on MariaDB Galera and RabbitMQ, with configurations of its load balancer and brokers; else for one with SQLite
  --dir DIR              where to (/etc/yun)
`

const DEPLOY = join(import.meta.dirname, '../../deploy')

export async function run(argv: string[]): Promise<number> {
  const values = readFlags(argv, { cluster: { type: 'boolean' }, dir: { type: 'string' }, help: { type: 'boolean', short: 'h' } })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const dir = resolve(String(values.dir ?? '/etc/yun'))
  const files: [from: string, to: string][] = values.cluster
    ? [
        ['config/cluster-control.yaml', 'control.yaml'],
        ['config/host.yaml', 'host.yaml'],
        ['haproxy.cfg', 'haproxy.cfg'],
        ['rabbitmq-advanced.config', 'rabbitmq-advanced.config'],
      ]
    : [
        ['config/control.yaml', 'control.yaml'],
        ['config/host.yaml', 'host.yaml'],
      ]
  const there = files.find(([, to]) => existsSync(join(dir, to)))
  if (there) throw conflict(`${join(dir, there[1])} is there already and is left as it is; give --dir DIR`, 'ConfigExists')
  mkdirSync(dir, { recursive: true, mode: 0o750 })
  for (const [from, to] of files) {
    writeFileSync(join(dir, to), readFileSync(join(DEPLOY, from)), { mode: 0o600, flag: 'wx' }) // passwords will be put in
    console.log(join(dir, to))
  }
  console.log(`\nput your addresses and passwords in, then: npx yun control --config ${join(dir, 'control.yaml')}`)
  return 0
}
