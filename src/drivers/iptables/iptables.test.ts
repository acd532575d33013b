import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { simulatedNetNs } from '../netns/simulated.ts'
import { iptablesContract } from './contract.ts'
import { difference, targetOf } from './plan.ts'
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

test('whatever a chain was, the difference makes it what it should be, rule by rule', async () => {
  const rule = fc.integer({ min: 1, max: 12 }).map((n) => `-s 10.0.0.${n}/32 -j ACCEPT`)
  const chain = fc.array(rule, { minLength: 8, maxLength: 24 })
  const changed = chain.chain((rules) =>
    fc
      .tuple(fc.nat(rules.length), fc.nat(2), fc.array(rule, { maxLength: 2 }))
      .map(([at, gone, come]) => rules.toSpliced(at, gone, ...come)),
  )
  await fc.assert(
    fc.asyncProperty(chain, fc.oneof(changed, chain), fc.boolean(), async (before, other, near) => {
      const iptables = simulatedIpTables()
      const after = near ? before.toSpliced(3, 1, ...other.slice(0, 2)) : other
      for (const rules of [before, after]) {
        const wanted = { filter: { chains: { mine: rules } } }
        const current = await iptables.save(undefined, 4)
        await iptables.restore(
          undefined,
          4,
          difference(current, wanted, (name) => name === 'mine'),
          { noflush: true },
        )
        assert.deepEqual((await iptables.save(undefined, 4)).filter!.mine!.rules, rules)
      }
    }),
  )
})
