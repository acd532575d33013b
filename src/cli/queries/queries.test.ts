import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { onCloudDatabases } from '../../cloud/databases-testing.ts'
import { Yard } from '../../compute/sagas/testing.ts'
import { Counts, counted, countQueries, routesOf } from './counting-testing.ts'
import { QUERIES } from './lists.ts'
import { type Look, looks } from './looks-testing.ts'
import { Sower } from './sower-testing.ts'
import type { Sown } from './sown-testing.ts'
import { WRITES } from './writes/all-testing.ts'

/** Of what there is none here; what is asked of it is counted all the same. */
const REFUSED = [
  /roles\/:role_id$/,
  /projects\/:id\/tags\/:tag$/,
  /os-volume-type-access$/,
  /os-flavor-access$/,
  /messages\/:message_id$/,
  /os-console-auth-tokens/,
  /migrations\/:id$/,
  /images\/:image_id\/metadata\/:key$/,
]

/** Of two tries the one with fewer: the first may have had to find out what is remembered then. */
async function count(yard: Yard, { path, headers }: Look): Promise<{ queries: string[]; refusal: string | undefined }> {
  const one = () =>
    counted(() =>
      yard.cloud.api('GET', path, undefined, headers).then(
        () => undefined,
        (error: Error) => error.message,
      ),
    )
  const [first, second] = [await one(), await one()]
  return { queries: first.queries.length < second.queries.length ? first.queries : second.queries, refusal: second.answer }
}

/** Of what is no list and has no number of its own in {@link QUERIES}. */
const FEW = 12
const FEW_TO_WRITE = 40
const ACTION = 'POST /compute/v2.1/servers/:server_id/action'
/** Of what asks the network service several times: for ports and subnets, to change one, and for all that is kept of them. */
const MORE_TO_WRITE: Record<string, number> = { [`${ACTION} addFixedIp`]: 46, [`${ACTION} removeFixedIp`]: 46 }

/** How many things belong to others in the first round, and in the second. */
const [SOME, MANY] = [1, 5]

/** Whoever waits for a saga looks again until it is done. */
const WAITING = 'select "state", "error" from "sagas" where "id" = ?'

/** By their words, whatever the number of values in a list and of rows to insert. */
const tally = (all: string[]) => Map.groupBy(all, (sql) => sql.replace(/\((\?, )*\?\)(, \((\?, )*\?\))*/g, '(…)').replaceAll('`', '"'))

/** What was asked more often than before, or why it is told of. */
function more(name: string, before: string[], now: string[]): string[] {
  if (now.length <= before.length) return []
  const earlier = tally(before)
  const grown = [...tally(now)].filter(([sql, times]) => times.length > (earlier.get(sql)?.length ?? 0)).map(([sql]) => sql)
  return [`${name}: ${before.length} queries with a fifth of the rows, now ${now.length}, e.g. ${grown[0]}`]
}

/** What was asked once more for each that belongs to a thing. What a write sets off goes on beside it, so that a query more or less says nothing. */
function repeated(name: string, before: string[], now: string[]): string[] {
  const earlier = tally(before)
  return [...tally(now)].flatMap(([sql, { length: times }]) => {
    const once = earlier.get(sql)?.length ?? 0
    return times - once < MANY - SOME - 1 || sql === WAITING ? [] : `${name}: of ${SOME} ${once} times, of ${MANY} ${times} times ${sql}`
  })
}

interface Round {
  shown: Map<string, Awaited<ReturnType<typeof count>>>
  written: Map<string, string[]>
}

/** Asks everything once of things that have `belongings` rounds of what can belong to them. */
async function round(yard: Yard, sower: Sower, belongings: number): Promise<Round> {
  const asked: [Sown, Sown] = [await sower.sow(), await sower.sow()]
  for (let i = 0; i < belongings; i++) for (const of of asked) await sower.extend(of)
  const counts = new Counts(yard)
  sower.counts = counts
  const shown: Round['shown'] = new Map()
  for (const look of await looks(yard, asked[0], sower.owners)) shown.set(look.name, await count(yard, look))
  for (const writes of Object.values(WRITES)) await writes(asked[0], { yard, counts, owners: sower.owners })
  await sower.extend(asked[1])
  await sower.reap(asked[1])
  await sower.reap(await sower.sow())
  return { shown, written: counts.seen }
}

function countIn(database: () => Promise<string | undefined>): void {
  let yard: Yard
  let stop: () => void
  before(async () => {
    yard = await Yard.open({ hosts: 2, database: await database() })
    stop = countQueries()
  })
  after(async () => {
    stop()
    await yard.cloud.stop()
  })

  test('no request makes more queries for many rows than for few, and each makes few', { timeout: 900_000 }, async () => {
    const sower = new Sower(yard, new Counts(yard))
    await sower.prepare()
    await sower.reap(await sower.sow()) // whatever is made or remembered at the first time
    const few = await round(yard, sower, SOME)
    for (let i = 0; i < 4; i++) await sower.sow()
    const many = await round(yard, sower, MANY)
    const wrong: string[] = []
    const table: string[] = []
    for (const [name, now] of many.shown) {
      table.push(`${now.queries.length} ${name}${now.refusal ? ' (refused)' : ''}`)
      wrong.push(...more(name, few.shown.get(name)!.queries, now.queries))
      const most = QUERIES[name] ?? (name.includes(':') ? FEW : -1)
      if (now.queries.length > most) wrong.push(`${name}: ${now.queries.length} queries, ${most < 0 ? 'none' : most} written down`)
      if (now.refusal && !REFUSED.some((one) => one.test(name))) wrong.push(`${name} is refused: ${now.refusal}`)
    }
    for (const { name } of routesOf(yard, ({ method, policy }) => !['GET', 'HEAD'].includes(method) && typeof policy === 'string')) {
      const ways = [...many.written.keys()].filter((way) => way === name || way.startsWith(`${name} (`))
      if (ways.length === 0) wrong.push(`${name}: nobody asks it in src/cli/queries/writes`)
      for (const way of ways) {
        const now = many.written.get(way)!
        table.push(`${now.length} ${way}`)
        wrong.push(...repeated(way, few.written.get(way)!, now))
        if (now.length > (MORE_TO_WRITE[name] ?? FEW_TO_WRITE)) wrong.push(`${way}: ${now.length} queries`)
      }
    }
    if (process.env.YUN_TEST_VERBOSE) console.log(table.join('\n'))
    assert.deepEqual([...new Set(wrong)], [])
  })
}

onCloudDatabases(countIn)
