import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { HostState } from '../rpc.ts'
import { Yard } from '../sagas/testing.ts'
import { hostReported } from './host.ts'

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
