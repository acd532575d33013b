import assert from 'node:assert/strict'
import { before } from 'node:test'
import { realNetNs } from '../netns/real.ts'
import { iptablesContract } from './contract.ts'
import { realIpTables } from './real.ts'

before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
})

let made = 0

iptablesContract(async () => {
  const netns = realNetNs()
  const namespace = `iptables-${process.pid}-${++made}`
  await netns.ensureNamespace(namespace)
  return { iptables: realIpTables(), namespace, done: () => netns.removeNamespace(namespace) }
})
