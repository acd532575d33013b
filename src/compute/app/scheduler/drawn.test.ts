import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { findInstance } from '../../db/instances.ts'
import { COMPUTE_CONTROL, control, type HostState } from '../../rpc.ts'
import { Yard } from '../../sagas/testing.ts'
import { DRAWN, DRAWN_AGAIN } from './host-states.ts'
import { type HostWishes, type RequestSpec, requestSpecOf } from './request-spec.ts'
import { SCHEDULER, scheduler } from './scheduler.ts'

/** More than are drawn the second time. */
const HOSTS = DRAWN_AGAIN[0]! + 10
const SMALL = 'many7'
let yard: Yard
let serverId: string
before(async () => {
  yard = await Yard.open()
  serverId = await yard.server()
  const { database } = yard.context
  const { state_json } = await database.db.selectFrom('hosts').select('state_json').executeTakeFirstOrThrow()
  const state: HostState = JSON.parse(state_json)
  for (let n = 0; n < HOSTS; n++) {
    const name = `many${n}`
    const cpuModel = name === SMALL ? 'rare' : state.cpuModel
    await yard.cloud.bus.call(COMPUTE_CONTROL, control.hostReport, {
      ...state,
      host: name,
      hypervisorHostname: name,
      cpuModel,
      instances: {},
    })
  }
})
after(() => yard.cloud.stop())

async function decide(wishes: Partial<HostWishes> = {}, extraSpecs: Record<string, string> = {}) {
  const row = (await findInstance(yard.context.database.db, serverId))!
  const any = { hints: {}, zone: null, forcedHost: null, forcedNode: null, ignoreHosts: [] }
  const spec = await requestSpecOf(yard.context, row, { ...JSON.parse(row.flavor_json), extraSpecs }, { ...any, ...wishes })
  const states = await yard.cloud.bus.call(SCHEDULER, scheduler.hostStates, { spec })
  return { spec, states, ...(await yard.cloud.bus.call(SCHEDULER, scheduler.filter, { spec })) }
}

/** Whoever weighs forgets what was gathered. */
const weigh = async (spec: RequestSpec, hosts: string[]) => (await yard.cloud.bus.call(SCHEDULER, scheduler.weigh, { spec, hosts })).ranked

test('a decision looks at some of many hosts, and at others the next time', async () => {
  const [one, two] = [await decide(), await decide()]
  assert.deepEqual([one.states.hosts, one.states.looked, one.left.length], [HOSTS + 1, DRAWN, DRAWN])
  assert.notDeepEqual(one.left.toSorted(), two.left.toSorted())
})

test('who has not drawn the hosts weighs them all the same', async () => {
  const { spec, left } = await decide()
  for (const ranked of [await weigh(spec, left), await weigh(spec, left)])
    assert.deepEqual(ranked.map((one) => one.host).toSorted(), left.toSorted())
})

test('one that alone will do is found all the same; none says why of all', async () => {
  assert.deepEqual((await decide({}, { 'capabilities:cpu_model': 'rare' })).left, [SMALL])
  assert.deepEqual((await decide({ forcedHost: 'many3' })).left, ['many3'])
  await assert.rejects(
    decide({}, { 'capabilities:cpu_model': 'none' }),
    new RegExp(`${HOSTS + 1} hosts, ${HOSTS + 1} lack capability cpu_model=none`),
  )
  await assert.rejects(decide({ forcedHost: 'nowhere' }), /No valid host/)
})
