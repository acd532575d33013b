import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IpTables } from './driver.ts'
import { bring, difference, type Wanted } from './plan.ts'

const owns = (chain: string) => chain.startsWith('neutron-')

/** What both iptables and its twin keep to. `fresh` hands out an empty namespace. */
export function iptablesContract(make: () => Promise<{ iptables: IpTables; namespace: string; done: () => Promise<void> }>): void {
  const inFresh = (name: string, body: (iptables: IpTables, namespace: string) => Promise<void>) =>
    test(name, async () => {
      const { iptables, namespace, done } = await make()
      try {
        await body(iptables, namespace)
      } finally {
        await done()
      }
    })

  inFresh('what is restored is what is saved, and what others own stays', async (iptables, ns) => {
    await iptables.restore(
      ns,
      4,
      { filter: [':operators - [0:0]', '-A INPUT -j operators', '-A operators -s 192.0.2.0/24 -j DROP'] },
      { noflush: true },
    )
    const wanted: Wanted = {
      filter: {
        chains: {
          'neutron-openvswi-sg-chain': ['-j ACCEPT'],
          'neutron-openvswi-FORWARD': ['-m physdev --physdev-out tap0 --physdev-is-bridged -j neutron-openvswi-sg-chain'],
        },
        hooks: { FORWARD: ['-j neutron-openvswi-FORWARD'] },
      },
    }
    assert.deepEqual(Object.keys(await bring(iptables, ns, 4, wanted, owns)), ['filter'])
    const saved = await iptables.save(ns, 4)
    assert.deepEqual(saved.filter?.FORWARD?.rules, ['-j neutron-openvswi-FORWARD'])
    assert.deepEqual(saved.filter?.['neutron-openvswi-FORWARD']?.rules, wanted.filter?.chains['neutron-openvswi-FORWARD'])
    assert.deepEqual(saved.filter?.operators?.rules, ['-s 192.0.2.0/24 -j DROP'])
    assert.deepEqual(await bring(iptables, ns, 4, wanted, owns), {}, 'the second time there is nothing to do')

    wanted.filter!.chains['neutron-openvswi-FORWARD'] = []
    assert.deepEqual(await bring(iptables, ns, 4, wanted, owns), { filter: [':neutron-openvswi-FORWARD - [0:0]'] })
    await bring(iptables, ns, 4, {}, owns)
    const last = await iptables.save(ns, 4)
    assert.deepEqual(Object.keys(last.filter ?? {}).sort(), ['FORWARD', 'INPUT', 'OUTPUT', 'operators'])
    assert.deepEqual([last.filter?.FORWARD?.rules, last.filter?.INPUT?.rules], [[], ['-j operators']])
  })

  inFresh('hooks stand before the rules of others', async (iptables, ns) => {
    await iptables.restore(ns, 4, { filter: ['-A INPUT -s 192.0.2.1/32 -j ACCEPT'] }, { noflush: true })
    await bring(
      iptables,
      ns,
      4,
      { filter: { chains: { 'neutron-a': [], 'neutron-b': [] }, hooks: { INPUT: ['-j neutron-a', '-j neutron-b'] } } },
      owns,
    )
    assert.deepEqual((await iptables.save(ns, 4)).filter?.INPUT?.rules, ['-j neutron-a', '-j neutron-b', '-s 192.0.2.1/32 -j ACCEPT'])
  })

  inFresh('a table changes as a whole or not at all', async (iptables, ns) => {
    await iptables.restore(ns, 4, { filter: [':one - [0:0]'] }, { noflush: true })
    await assert.rejects(
      iptables.restore(ns, 4, { filter: ['-A one -j ACCEPT', '-A one -j no-such-chain', '-A one -j DROP'] }, { noflush: true }),
      { status: 500, code: 'RestoreFailed' },
    )
    assert.deepEqual((await iptables.save(ns, 4)).filter?.one?.rules, [])
    await assert.rejects(iptables.restore(ns, 4, { filter: ['-A no-such-chain -j ACCEPT'] }, { noflush: true }), { code: 'RestoreFailed' })
    await assert.rejects(iptables.restore(ns, 4, { filter: [':a-name-that-is-longer-than-iptables-takes - [0:0]'] }, { noflush: true }), {
      code: 'RestoreFailed',
    })
    await assert.rejects(iptables.restore(ns, 4, { filter: ['-A one -j ACCEPT\nCOMMIT\n*nat'] }, { noflush: true }), {
      status: 400,
      code: 'BadRule',
    })
  })

  inFresh('families and namespaces are apart', async (iptables, ns) => {
    await iptables.restore(ns, 6, { filter: [':neutron-x - [0:0]', '-A neutron-x -s fd00::/64 -j ACCEPT'] }, { noflush: true })
    assert.deepEqual((await iptables.save(ns, 6)).filter?.['neutron-x']?.rules, ['-s fd00::/64 -j ACCEPT'])
    assert.equal((await iptables.save(ns, 4)).filter?.['neutron-x'], undefined)
    await assert.rejects(iptables.save('no-such-namespace', 4), { status: 404, code: 'NoSuchNamespace' })
  })

  inFresh('a chain that goes takes the jumps to it along', async (iptables, ns) => {
    const both: Wanted = {
      nat: {
        chains: { 'neutron-outer': ['-j neutron-inner'], 'neutron-inner': ['-s 10.1.0.3/32 -j RETURN'] },
        hooks: { PREROUTING: ['-j neutron-outer'] },
      },
    }
    await bring(iptables, ns, 4, both, owns)
    const lines = difference(
      await iptables.save(ns, 4),
      { nat: { chains: { 'neutron-outer': [] }, hooks: { PREROUTING: ['-j neutron-outer'] } } },
      owns,
    )
    assert.deepEqual(lines, { nat: [':neutron-outer - [0:0]', ':neutron-inner - [0:0]', '-X neutron-inner'] })
    await iptables.restore(ns, 4, lines, { noflush: true })
    assert.deepEqual(Object.keys((await iptables.save(ns, 4)).nat ?? {}).filter(owns), ['neutron-outer'])
  })

  inFresh('a rule is the same whether iptables-save prints its protocol by name or by number', async (iptables, ns) => {
    const rules = [
      '-p 112 -j RETURN',
      '-p gre -j RETURN',
      '-p 47 -j RETURN',
      '-p ipv6-icmp -j RETURN',
      '-p 200 -j RETURN',
      '-m mac --mac-source fa:16:3e:00:00:01 -j RETURN',
      '-m mac --mac-source FA:16:3E:00:00:01 -j RETURN',
    ]
    const wanted: Wanted = { filter: { chains: { 'neutron-protocols': rules } } }
    await bring(iptables, ns, 4, wanted, owns)
    assert.deepEqual(await bring(iptables, ns, 4, wanted, owns), {})
  })

  inFresh('forgetting connections that are not there is no error', async (iptables, ns) => {
    await iptables.cut(ns, { zone: 4097 })
    await iptables.cut(ns, { destination: '172.24.4.50' })
    await iptables.cut(ns, { source: 'fd00::1' })
  })
}
