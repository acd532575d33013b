import { after, before } from 'node:test'
import { sagaTests } from '../../kernel/saga/testing.ts'
import * as power from './power.ts'
import { type Case, worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open()
})
after(() => yard.cloud.stop())

const act = (body: object) => async (at: Yard, id: string) => {
  await at.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, body)
  await at.settled()
  return {}
}
const nothing = () => ({})

const cases: [saga: (typeof power)[keyof typeof power], Omit<Case, 'kind'>][] = [
  [power.stopServer, { input: nothing, status: 'SHUTOFF', failed: ['ACTIVE', 'SHUTOFF'] }],
  [power.startServer, { input: act({ 'os-stop': null }), status: 'ACTIVE', failed: ['SHUTOFF', 'ACTIVE'] }],
  [power.rebootServer, { input: nothing, status: 'ACTIVE' }],
  [power.hardRebootServer, { input: nothing, status: 'ACTIVE', failed: ['ERROR'] }],
  [power.pauseServer, { input: nothing, status: 'PAUSED', failed: ['ACTIVE', 'PAUSED'] }],
  [power.unpauseServer, { input: act({ pause: null }), status: 'ACTIVE', failed: ['PAUSED', 'ACTIVE'] }],
  [power.suspendServer, { input: nothing, status: 'SUSPENDED', failed: ['ACTIVE', 'SUSPENDED', 'SHUTOFF'] }],
  [power.resumeServer, { input: act({ suspend: null }), status: 'ACTIVE', failed: ['SUSPENDED', 'ACTIVE'] }],
]

for (const [saga, one] of cases) sagaTests({ saga, service: 'compute', world: worldOf(() => yard, { kind: saga.kind, ...one }) })
