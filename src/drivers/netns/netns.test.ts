import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { netnsContract } from './contract.ts'
import { simulatedNetNs } from './simulated.ts'

netnsContract(() => simulatedNetNs(), 'twin')

test('a simulated machine outlives the process where a file is given', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'netns-'))
  const file = join(folder, 'netns.json')
  const before = simulatedNetNs({ file })
  await before.ensureNamespace('qrouter-1')
  before.addLink('qr-1', 'tun')
  await before.apply(undefined, [{ do: 'set-link', name: 'qr-1', namespace: 'qrouter-1' }])
  const after = simulatedNetNs({ file })
  assert.deepEqual(
    (await after.links('qrouter-1')).map((link) => link.name),
    ['lo', 'qr-1'],
  )
  after.dropLink('qr-1')
  assert.equal((await after.links('qrouter-1')).length, 1)
  rmSync(folder, { recursive: true })
})

test('reading is no change', async () => {
  const netns = simulatedNetNs()
  await netns.ensureNamespace('one')
  const before = netns.changes()
  await netns.ensureNamespace('one')
  await netns.links('one')
  await netns.routes('one', 4)
  await netns.sysctl('one', ['net.ipv4.ip_forward'])
  await netns.apply('one', [])
  assert.equal(netns.changes(), before)
})
