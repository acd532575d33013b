import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedNetNs } from '../netns/simulated.ts'
import { iptablesContract } from './contract.ts'
import { targetOf } from './plan.ts'
import { simulatedIpTables } from './simulated.ts'

iptablesContract(async () => {
  const netns = simulatedNetNs()
  await netns.ensureNamespace('ns')
  return { iptables: simulatedIpTables({ namespaces: () => netns.namespaces() }), namespace: 'ns', done: async () => {} }
})

test('the target of a rule is not looked for in its comment', () => {
  assert.equal(targetOf('-m comment --comment "Send to -j nowhere" -j neutron-x'), 'neutron-x')
  assert.equal(targetOf('-g neutron-y'), 'neutron-y')
  assert.equal(targetOf('-s 10.0.0.1/32'), undefined)
})

test('rules end with their namespace', async () => {
  const netns = simulatedNetNs()
  const iptables = simulatedIpTables({ namespaces: () => netns.namespaces() })
  await netns.ensureNamespace('ns')
  await iptables.restore('ns', 4, { filter: [':neutron-x - [0:0]'] }, { noflush: true })
  await netns.removeNamespace('ns')
  await assert.rejects(iptables.save('ns', 4), { code: 'NoSuchNamespace' })
  await netns.ensureNamespace('ns')
  assert.deepEqual(await iptables.save('ns', 4), {})
})
