import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { until } from '../daemon.ts'
import { realNetNs } from '../netns/real.ts'
import { advertisementsOf, type RadvLab, ROUTER, radvContract } from './contract.ts'
import { realRadv } from './real.ts'

before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
})

let made = 0

async function make(): Promise<RadvLab & { guest: string }> {
  const netns = realNetNs()
  const tag = `${process.pid}-${++made}`
  const [namespace, guest] = [`qrouter-${tag}`, `guest-${tag}`]
  const directory = mkdtempSync(join(tmpdir(), 'radv-'))
  for (const name of [namespace, guest]) await netns.ensureNamespace(name)
  await netns.setSysctl(namespace, { 'net.ipv6.conf.all.forwarding': '1' })
  await netns.apply(namespace, [
    { do: 'add-veth', name: 'qr0', peer: 'eth0', peerNamespace: guest },
    { do: 'set-link', name: 'qr0', up: true },
    { do: 'set-address', dev: 'qr0', cidr: '2001:db8::1/64' },
    { do: 'set-address', dev: 'qr0', cidr: '2001:db8:0:1::1/64' },
  ])
  await netns.apply(guest, [{ do: 'set-link', name: 'eth0', mac: 'fa:16:3e:00:00:0a' }])
  return {
    radv: realRadv({ directory }),
    namespace,
    guest,
    again: () => realRadv({ directory }),
    async done() {
      for (const name of [namespace, guest]) await netns.removeNamespace(name)
      rmSync(directory, { recursive: true })
    },
  }
}

radvContract(make)

test('a guest gives itself an address in the prefix of slaac, none in that of dhcpv6-stateful, and finds its way out', async () => {
  const lab = await make()
  const netns = realNetNs()
  const wanted = advertisementsOf(lab)
  wanted.links[0]!.prefixes.push({ cidr: '2001:db8:0:1::/64', mode: 'dhcpv6-stateful', dns: [] })
  try {
    await lab.radv.ensure(wanted)
    await netns.apply(lab.guest, [{ do: 'set-link', name: 'eth0', up: true }])
    const addresses = async () => (await netns.links(lab.guest)).find((link) => link.name === 'eth0')!.addresses.map((each) => each.address)
    await until('the guest has its address', async () => (await addresses()).includes('2001:db8::f816:3eff:fe00:a'), 15_000)
    assert.ok(!(await addresses()).some((address) => address.startsWith('2001:db8:0:1:')))
    const way = (await netns.routes(lab.guest, 6)).find((route) => route.to === 'default')
    assert.match(way?.via ?? '', /^fe80:/)
  } finally {
    await lab.radv.stop(ROUTER)
    await lab.done()
  }
})
