import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { findInstance } from '../db/instances.ts'
import type { HostState } from '../rpc.ts'
import { Yard } from '../sagas/testing.ts'
import { hostReported, removeHost } from './host.ts'
import { changeMigration, recordMigration } from './migration.ts'

let yard: Yard
let state: HostState
before(async () => {
  yard = await Yard.open()
  const { state_json } = await yard.context.database.db.selectFrom('hosts').select('state_json').executeTakeFirstOrThrow()
  state = { ...JSON.parse(state_json), host: 'other', hypervisorHostname: 'other', instances: {} }
})
after(() => yard.cloud.stop())

const rowOf = () => yard.context.database.db.selectFrom('hosts').selectAll().where('host', '=', 'other').executeTakeFirstOrThrow()

test('a host that says the same again is seen again, with what it says now; that it was started since is told once', async () => {
  assert.equal(await hostReported(yard.context, state), false)
  const first = await rowOf()
  assert.equal(await hostReported(yard.context, { ...state, runningVms: 3 }), false)
  const second = await rowOf()
  assert.equal(JSON.parse(second.state_json).runningVms, 3)
  assert.ok(second.seen_at >= first.seen_at)
  const startedAt = new Date(Date.parse(state.startedAt) + 1000).toISOString()
  assert.deepEqual(
    [await hostReported(yard.context, { ...state, startedAt }), await hostReported(yard.context, { ...state, startedAt })],
    [true, false],
  )
})

test('one that another process forgot is a new host with a provider, also when it says the same as before', async () => {
  const { database, placement } = yard.context
  await hostReported(yard.context, state)
  await hostReported(yard.context, state)
  const { provider_id } = await rowOf()
  await placement.removeProvider(provider_id)
  await database.db.deleteFrom('hosts').where('host', '=', 'other').execute()
  await hostReported(yard.context, state)
  const row = await rowOf()
  assert.notEqual(row.provider_id, provider_id)
  assert.equal((await placement.provider(row.provider_id)).name, 'other')
})

test('one that a server is on, on its way to, or may come back to is not forgotten; who had chosen one that is goes elsewhere', async () => {
  const { context } = yard
  const { placement, database } = context
  await hostReported(context, state)
  const row = await rowOf()
  const gone = async () => (await database.db.selectFrom('hosts').selectAll().where('host', '=', 'other').executeTakeFirst()) === undefined
  const onItsWay = randomUUID()
  const place = { allocations: { [row.provider_id]: { VCPU: 1 } }, projectId: 'p', userId: 'u' }
  assert.ok(await placement.claim(onItsWay, place))
  await assert.rejects(removeHost(context, row), { status: 409, message: /something has a place there/ })
  await placement.release(onItsWay)

  const there = await database.db.selectFrom('hosts').select('host').where('host', '!=', 'other').executeTakeFirstOrThrow()
  const id = await yard.server({ availability_zone: `nova:${there.host}` })
  const server = (await findInstance(database.db, id))!
  const migration = randomUUID()
  await database.transaction((trx) => recordMigration(trx, { userId: 'u', projectId: 'p' }, server, { id: migration, type: 'migration' }))
  for (const columns of [{ dest_host: 'other' }, { source_host: 'other', dest_host: null }]) {
    await changeMigration(database.db, migration, { status: 'finished', ...columns })
    await assert.rejects(removeHost(context, row), { status: 409, message: /migration \d+ of server \S+ is in progress/ })
  }
  await changeMigration(database.db, migration, { status: 'reverted' })
  await assert.rejects(removeHost(context, { ...row, host: server.host! }), { status: 409, message: /hosting instances/ })
  assert.equal((await placement.provider(row.provider_id)).name, 'other')

  const claim = placement.claim.bind(placement)
  placement.claim = async (...asked) => {
    placement.claim = claim
    await removeHost(context, row)
    return await claim(...asked)
  }
  const late = await yard.request({ availability_zone: 'nova:other' })
  await yard.settled()
  assert.ok(await gone())
  const { vm_state, host, fault_json } = (await findInstance(database.db, late))!
  assert.deepEqual([vm_state, host], ['error', null])
  assert.match(JSON.parse(fault_json!).message, /No valid host was found/)
  for (const one of [id, late]) await yard.remove(one)
  assert.deepEqual(await yard.leaks(), [])
})
