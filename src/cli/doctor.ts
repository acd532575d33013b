import { adminApi, stateArgs } from './session.ts'
import { table } from './table.ts'

const HELP = `Looks for what is wrong.

Usage: npx yun doctor leaks [--state DIR] [--json]

  leaks   everything on the hosts and in the databases that nothing asks for; exit 1 if there is any
`

export async function run(argv: string[]): Promise<number> {
  const { stateDir, positionals, json, help } = stateArgs(argv)
  if (help || positionals[0] !== 'leaks') {
    console.log(HELP)
    return help ? 0 : 2
  }
  const { leaks, examined } = await (await adminApi(stateDir)).get('/doctor/v1/leaks')
  if (json) console.log(JSON.stringify({ leaks, examined }, null, 2))
  else {
    const looked = Object.entries(examined as Record<string, number>).map(([kind, count]) => `${count} ${kind}`)
    console.log(`looked at ${looked.join(', ') || 'nothing: no host answered with anything'}`)
    console.log(
      leaks.length === 0
        ? 'no leaks'
        : table(
            ['Kind', 'Name', 'Owner', 'Where', 'Why'],
            leaks.map((one: any) => [one.kind, one.name, one.owner ?? '', one.where, one.why]),
          ),
    )
  }
  return leaks.length === 0 ? 0 : 1
}
