import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { serviceDatabases } from '../cloud/databases.ts'
import { holdStateDir } from '../cloud/lock.ts'
import { readSettings } from '../cloud/settings.ts'
import { moveDatabases } from '../kernel/db/move.ts'
import { databaseStatus, placeOf, type ServiceDatabase, upgradeDatabases } from '../kernel/db/upgrade.ts'
import { badRequest } from '../kernel/errors/errors.ts'
import { table } from './table.ts'

const WHERE = `  --state DIR        the cloud's state directory, for its SQLite files and its lock
  --config FILE      the cloud's configuration, for its database
  --database URL     instead of that: mysql://user:password@node1:3306,node2:3306/yun; each service has its own, yun_compute, ...`

const HELP: Record<string, string> = {
  '': `The databases of a cloud: a file for each service in its state directory, or databases of a MariaDB server or Galera cluster.

Usage: npx yun db COMMAND [options]

  status             where each is, what migrations it lacks, how its nodes are
  upgrade            make what is missing and apply the migrations of this version
  move --to URL      copy a stopped cloud's SQLite files into MariaDB

Every command answers to --help.`,
  status: `Where each database is, what migrations it lacks, how its nodes are. Changes nothing; ends with 1 when something is missing.

Usage: npx yun db status [options]

${WHERE}
  --json             as JSON`,
  upgrade: `Makes databases that are missing and applies the migrations of this version. SQLite files are copied to DIR/db/backups first, and their cloud must be stopped;
on MariaDB the control processes of the version before may go on working meanwhile: upgrade first, then restart them one after the other.

Usage: npx yun db upgrade [options]

${WHERE}
  --json             as JSON`,
  move: `Copies the SQLite files of a stopped cloud into databases of a MariaDB server or cluster, and compares row for row what arrived. Targets must be missing or empty.
The files stay as they are. Afterwards put the address into the configuration (database: ...) and start the cloud again.

Usage: npx yun db move --to mysql://user:password@node1:3306,node2:3306/yun [--state DIR] [--json]`,
}

interface DbOptions {
  stateDir: string
  url: string | null
  to: string | null
  json: boolean
}

export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parse(argv)
  const command = positionals[0] ?? ''
  const commands: Record<string, (options: DbOptions) => Promise<number>> = { status, upgrade, move }
  if (values.help || command === '') {
    console.log(HELP[command] ?? HELP[''])
    return values.help ? 0 : 2
  }
  if (!commands[command] || positionals.length > 1)
    throw badRequest(`no command "db ${positionals.join(' ')}": there are db status, db upgrade and db move`, 'Usage')
  // root is needed for guests, not for this
  const flags = [
    '--hypervisor',
    'simulated',
    ...(values.state ? ['--state', values.state] : []),
    ...(values.config ? ['--config', values.config] : []),
  ]
  const { settings } = readSettings(flags, hostname())
  return await commands[command]({
    stateDir: settings.stateDir,
    url: values.database ?? settings.database,
    to: values.to ?? null,
    json: values.json === true,
  })
}

function parse(argv: string[]) {
  try {
    return parseArgs({
      args: argv,
      options: {
        state: { type: 'string' },
        config: { type: 'string' },
        database: { type: 'string' },
        to: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
      allowPositionals: true,
    })
  } catch (error) {
    throw badRequest((error as Error).message, 'Usage')
  }
}

async function status(options: DbOptions): Promise<number> {
  const states = await databaseStatus(serviceDatabases(options))
  const text = (one: (typeof states)[number]) =>
    !one.exists
      ? 'missing'
      : one.unknown.length > 0
        ? `of a newer Yun: ${one.unknown.join(', ')}`
        : one.pending.length > 0
          ? `lacks ${one.pending.join(', ')}`
          : 'up to date'
  if (options.json) console.log(JSON.stringify(states, null, 2))
  else {
    console.log(
      table(
        ['Service', 'Database', 'State'],
        states.map((one) => [one.service, one.place, text(one)]),
      ),
    )
    const nodes = states.find((one) => one.nodes.length > 0 && one.nodes[0]!.state !== 'embedded')?.nodes
    if (nodes)
      console.log(
        table(
          ['Node', 'State', 'Cluster size'],
          nodes.map(({ node, state, size }) => [node, state, String(size)]),
        ),
      )
  }
  return states.every((one) => text(one) === 'up to date') ? 0 : 1
}

async function upgrade(options: DbOptions): Promise<number> {
  const list = serviceDatabases(options)
  const release = options.url ? () => {} : await hold(options.stateDir)
  try {
    const done = await upgradeDatabases(list, (one) => {
      if (options.json) return
      const what = [
        ...(one.created ? ['made'] : []),
        ...(one.backup ? [`copied to ${one.backup}`] : []),
        one.applied.length > 0 ? `applied ${one.applied.join(', ')}` : 'up to date already',
      ]
      console.log(`${one.service.padEnd(10)} ${placeOf(urlOf(list, one.service))}: ${what.join('; ')}`)
    })
    if (options.json) console.log(JSON.stringify(done, null, 2))
    return 0
  } finally {
    release()
  }
}

const urlOf = (list: ServiceDatabase[], service: string) => list.find((one) => one.service === service)!.url

async function move(options: DbOptions): Promise<number> {
  if (!options.to) throw badRequest('db move: --to mysql://user:password@node1:3306,node2:3306/yun is needed', 'Usage')
  const targets = serviceDatabases({ stateDir: options.stateDir, url: options.to })
  const sources = serviceDatabases({ stateDir: options.stateDir })
  const release = await hold(options.stateDir)
  try {
    const list = sources.map(({ service, url, migrations }) => ({ service, from: url, to: urlOf(targets, service), migrations }))
    const moved = await moveDatabases(list)
    if (options.json) console.log(JSON.stringify(moved, null, 2))
    else {
      console.log(
        table(
          ['Service', 'Table', 'Rows'],
          moved.map(({ service, table: name, rows }) => [service, name, String(rows)]),
        ),
      )
      console.log(
        `All of it arrived as it was. The files in ${options.stateDir}/db are as before and no longer needed once the cloud runs with\n\n  database: "${options.to.replace(/(:\/\/[^:@/]*:)[^@/]*@/, '$1…@')}"\n\nin its configuration. Images, keys and secrets stay in the state directory.`,
      )
    }
    return 0
  } finally {
    release()
  }
}

/** @throws Fault 409 while its cloud runs */
async function hold(stateDir: string): Promise<() => void> {
  return (await holdStateDir(stateDir, 'npx yun db')).release
}
