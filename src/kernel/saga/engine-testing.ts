import type { Database } from '../db/database.ts'
import { silent } from '../log/log.ts'
import { type EngineOptions, Killed, SagaEngine, type SagaRequest } from './engine.ts'
import type { SagaTables } from './log.ts'
import { at, type Run, type Saga, saga, step } from './saga.ts'
import { sagaDatabase } from './testing.ts'

/** Things that stand somewhere, by id: what actions make and undos take away. */
export interface Yard {
  things: Set<string>
  told: string[]
  trail: string[]
}
export type YardRun = Run<Yard, { id: string; hosts?: string[] }, { choose?: { host: string } }>

export const yard = (): Yard => ({ things: new Set(), told: [], trail: [] })
export const put = (what: string) => (run: YardRun) => {
  run.world.trail.push(`put ${what}`)
  run.world.things.add(`${what} ${run.input.id}`)
  return { what }
}
export const take = (what: string) => (run: YardRun) => {
  run.world.trail.push(`take ${what}`)
  run.world.things.delete(`${what} ${run.input.id}`)
}
export const tell = (run: YardRun, error: Error) => {
  if (!run.world.told.includes(error.message)) run.world.told.push(error.message)
}

export const build = saga<YardRun>(
  'build',
  [
    step(1, 'look', at.control, () => ({ seen: true }), null), // nothing is made
    step(2, 'disk', at.storage, put('disk'), take('disk')),
    step(3, 'port', at.network, put('port'), take('port')),
    step(4, 'guest', at.host, put('guest'), take('guest')),
  ],
  { failed: tell },
)

export async function submit(engine: SagaEngine<any>, database: Database<any>, request: SagaRequest): Promise<string> {
  const id = await database.transaction((trx) => engine.submit(trx, request))
  engine.wake(request.subject)
  return id
}

export async function house(sagas: Saga<any>[], more: Partial<EngineOptions<Yard>> = {}) {
  const database = more.database ?? (await sagaDatabase())
  const context = more.world ?? yard()
  const engine = new SagaEngine<Yard>({
    service: 'compute',
    database,
    world: context,
    sagas,
    log: silent(),
    exclusive: true,
    undoRetryMs: 1,
    ...more,
  })
  await engine.start()
  const go = (request: Partial<SagaRequest> & { kind: string }) =>
    submit(engine, database, { subject: 'server:1', input: { id: '1' }, ...request })
  return { database, context, engine, go }
}

export const state = async (database: Database<any>, id: string) =>
  (await (database as Database<SagaTables>).db.selectFrom('sagas').selectAll().where('id', '=', id).executeTakeFirstOrThrow()).state

export function die(now: boolean): void {
  if (now) throw new Killed('kill -9')
}
