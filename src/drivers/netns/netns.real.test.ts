import assert from 'node:assert/strict'
import { before } from 'node:test'
import { netnsContract } from './contract.ts'
import { realNetNs } from './real.ts'

before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
})

netnsContract(realNetNs, String(process.pid))
