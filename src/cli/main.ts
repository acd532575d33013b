import { describe } from '../kernel/errors/errors.ts'

const COMMANDS: Record<string, { help: string; load: () => Promise<{ run(argv: string[]): Promise<number> }> }> = {
  up: { help: 'start a cloud, create a virtual machine in it and show the fifty steps (npm start)', load: () => import('./up.ts') },
  control: { help: 'run the control of a cloud whose hosts are other machines', load: () => import('./control.ts') },
  host: { help: 'make this machine a host of such a cloud', load: () => import('./host.ts') },
  lab: { help: 'several machines inside this one, and a cloud on them', load: () => import('./lab.ts') },
  'join-token': { help: 'let one host join', load: () => import('./join-token.ts') },
  running: { help: 'whether a process runs on a state directory, by its exit code', load: () => import('./running.ts') },
  init: { help: 'write commented configurations for several machines', load: () => import('./init.ts') },
  stop: { help: 'stop the cloud of a state directory; its guests go on running', load: () => import('./stop.ts') },
  status: { help: 'what runs, where, and how it is', load: () => import('./status.ts') },
  trace: { help: 'the fifty steps of one server, with evidence', load: () => import('./trace.ts') },
  'api-coverage': {
    help: 'every route of every service, as docs/api-coverage.md and docs/openapi have it',
    load: () => import('./api-coverage.ts'),
  },
  image: { help: 'image build tiny|debian: guest images from Debian packages', load: () => import('./image.ts') },
  db: { help: 'the databases: db status, db upgrade, db move --to mysql://...', load: () => import('./db.ts') },
  doctor: { help: 'doctor leaks: everything on this machine that should not be there', load: () => import('./doctor.ts') },
}

const usage = () =>
  `Yun, a cloud that a person can understand.\n\nUsage: npx yun COMMAND [options]      (npm start is: npx yun up)\n\n${Object.entries(
    COMMANDS,
  )
    .map(([name, { help }]) => `  ${name.padEnd(12)} ${help}`)
    .join('\n')}\n\nEvery command answers to --help.`

const [name = 'help', ...argv] = process.argv.slice(2)
const command = COMMANDS[name]
if (!command) {
  const asked = ['help', '--help', '-h'].includes(name)
  ;(asked ? console.log : console.error)(asked ? usage() : `yun: no command "${name}"\n\n${usage()}`)
  process.exit(asked ? 0 : 2)
}
try {
  const { run } = await command.load()
  process.exitCode = await run(argv)
} catch (error) {
  const { message, status, code } = describe(error)
  console.error(`yun: ${message}`)
  if (status >= 500 && code === 'Internal') console.error((error as Error).stack)
  process.exit(code === 'Usage' ? 2 : 1)
}
