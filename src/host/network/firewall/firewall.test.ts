import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedIpTables } from '../../../drivers/iptables/simulated.ts'
import type { DeviceDetails, SecurityRule } from '../../../network/rpc.ts'
import { device } from '../testing.ts'
import { HybridFirewall } from './firewall.ts'
import { chainsOf, groupChains } from './rules.ts'

const rule = (over: Partial<SecurityRule>): SecurityRule => ({
  direction: 'ingress',
  etherType: 'IPv4',
  protocol: null,
  portMin: null,
  portMax: null,
  remotePrefix: null,
  remoteGroupId: null,
  ...over,
})

async function chainsAfter(...ports: DeviceDetails[]) {
  const iptables = simulatedIpTables()
  await new HybridFirewall(iptables).apply(ports)
  const tables = [await iptables.save(undefined, 4), await iptables.save(undefined, 6)] as const
  return { four: tables[0].filter!, six: tables[1].filter!, raw: tables[0].raw! }
}

test('without rules nothing new comes in, and out goes only what has the port’s own MAC and addresses', async () => {
  const port = device(1, { rules: [] })
  const { four } = await chainsAfter(port)
  const { ingress, egress, source } = chainsOf(port.portId)
  assert.deepEqual(
    four[ingress]?.rules.map((line) => line.replace(/ ?-m comment --comment "[^"]*"/, '').trim()),
    [
      '-m state --state RELATED,ESTABLISHED -j RETURN',
      '-p udp -m udp --sport 67 --dport 68 -j RETURN',
      '-m state --state INVALID -j DROP',
      '-j neutron-openvswi-sg-fallback',
    ],
  )
  assert.match(four[source]!.rules[0]!, /^-s 10\.1\.0\.11\/32 -m mac --mac-source fa:16:3e:00:03:01 .*-j RETURN$/)
  assert.match(four[source]!.rules.at(-1)!, /-j DROP$/)
  assert.ok(
    four[egress]!.rules.some((line) => /--sport 67 --dport 68 .*-j DROP$/.test(line)),
    'a guest is no DHCP server',
  )
  assert.ok(Object.keys(four).every((chain) => chain.length <= 28))
})

test('each kind of rule becomes one line', async () => {
  const rules = [
    rule({ protocol: 'tcp', portMin: 22, portMax: 22, remotePrefix: '192.0.2.77/24' }),
    rule({ protocol: '17', portMin: 5000, portMax: 5010 }),
    rule({ protocol: 'icmp' }),
    rule({ protocol: 'icmp', portMin: 8, portMax: 0 }),
    rule({ protocol: '112' }),
    rule({ protocol: 'tcp' }),
    rule({ remotePrefix: '10.1.0.12' }),
    rule({ remotePrefix: '0.0.0.0/0', protocol: 'udp', portMin: 53, portMax: 53 }),
    rule({ direction: 'egress' }),
    rule({ direction: 'egress', etherType: 'IPv6' }),
    rule({ etherType: 'IPv6', protocol: 'icmp', portMin: 128, portMax: null }),
    rule({ etherType: 'IPv6', protocol: 'tcp', portMin: 22, portMax: 22, remotePrefix: 'fd00:1::/64' }),
  ]
  const port = device(1, { rules })
  const { four, six } = await chainsAfter(port)
  const { ingress, egress } = chainsOf(port.portId)
  assert.deepEqual(four[ingress]?.rules.slice(2, -2), [
    '-s 192.0.2.0/24 -p tcp -m tcp --dport 22 -j RETURN',
    '-p udp -m udp --dport 5000:5010 -j RETURN',
    '-p icmp -j RETURN',
    '-p icmp -m icmp --icmp-type 8/0 -j RETURN',
    '-p 112 -j RETURN',
    '-p tcp -j RETURN',
    '-s 10.1.0.12/32 -j RETURN',
    '-p udp -m udp --dport 53 -j RETURN',
  ])
  assert.ok(four[egress]?.rules.includes('-j RETURN'))
  assert.ok(six[egress]?.rules.includes('-j RETURN'))
  assert.ok(six[ingress]?.rules.includes('-p ipv6-icmp -m icmp6 --icmpv6-type 128 -j RETURN'))
  assert.ok(six[ingress]?.rules.includes('-s fd00:1::/64 -p tcp -m tcp --dport 22 -j RETURN'))
})

test('a protocol is one number, however it is written: no word of a rule reaches iptables, and no port is open that was not asked for', async () => {
  const spelled = async (protocol: string, more: Partial<SecurityRule> = {}) => {
    const port = device(1, { rules: [rule({ protocol, ...more })] })
    return (await chainsAfter(port)).four[chainsOf(port.portId).ingress]?.rules.slice(2, -2)
  }
  for (const junk of ['constructor', '__proto__', 'smoke', '-j', 'tcp\n-A INPUT -j ACCEPT', '256', '99999999999', ''])
    assert.deepEqual(await spelled(junk), ['-p 255 -j RETURN'], JSON.stringify(junk))
  assert.deepEqual(await spelled('099'), ['-p 99 -j RETURN'])
  assert.deepEqual(await spelled('ipip'), ['-p 4 -j RETURN'], 'which iptables takes for 94')
  assert.deepEqual(await spelled('ipv6-encap'), ['-p 41 -j RETURN'])
  assert.deepEqual(await spelled('006', { portMin: 22, portMax: 22 }), ['-p tcp -m tcp --dport 22 -j RETURN'])
})

test('a rule that iptables would refuse opens nothing, and the rules beside it and of other ports stand', async () => {
  const good = rule({ protocol: 'tcp', portMin: 22, portMax: 22 })
  const bad = [
    ...['::/0', '::ffff:0x7f.0.0.1/128', 'no address', '10.0.0.0/33', '10.0.0.0/8 -j ACCEPT', '10.0.0.0/8\n-A INPUT'].map((remotePrefix) =>
      rule({ remotePrefix }),
    ),
    rule({ protocol: 'tcp', portMin: 22, portMax: 70_000 }),
    rule({ etherType: 'IPv6', remotePrefix: '10.0.0.0/8' }),
  ]
  const ports = [device(1, { rules: [...bad, good] }), device(2, { rules: [good] })]
  const { four, six } = await chainsAfter(...ports)
  for (const { portId } of ports)
    assert.deepEqual(four[chainsOf(portId).ingress]?.rules.slice(2, -2), ['-p tcp -m tcp --dport 22 -j RETURN'])
  assert.ok(!JSON.stringify(six).includes('10.0.0.0/8'))
})

test('groups that name themselves and each other lead to their members and no further', async () => {
  const [a, b] = ['aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb']
  const rules = [a, b].map((remoteGroupId) => rule({ remoteGroupId }))
  const iptables = simulatedIpTables()
  const groups = new Map([
    [a, ['10.1.0.11/32']],
    [b, Array.from({ length: 2000 }, (_, i) => `10.2.${i >> 8}.${i & 255}/32`)],
  ])
  await new HybridFirewall(iptables).apply([device(1, { rules }), device(2, { rules })], groups)
  const { filter } = await iptables.save(undefined, 4)
  for (const [group, members] of [
    [a, 1],
    [b, 2000],
  ] as const) {
    const lines = filter?.[groupChains(group).from]?.rules ?? []
    assert.equal(lines.length, members)
    assert.ok(lines.every((line) => line.endsWith('-j ACCEPT')))
  }
})

test('allowed address pairs may send too; a pair of everything leaves only the MAC', async () => {
  const port = device(1, {
    allowedAddressPairs: [
      { address: '10.1.0.200', macAddress: 'fa:16:3e:00:03:01' },
      { address: '10.9.0.0/16', macAddress: 'fa:16:3e:99:99:99' },
      { address: '0.0.0.0/0', macAddress: 'fa:16:3e:00:03:01' },
    ],
  })
  const { four, six } = await chainsAfter(port)
  const lines = four[chainsOf(port.portId).source]!.rules.map((line) => line.replace(/ -m comment.*/, ''))
  assert.deepEqual(lines.slice(0, -1), [
    '-s 10.1.0.11/32 -m mac --mac-source fa:16:3e:00:03:01',
    '-s 10.1.0.200/32 -m mac --mac-source fa:16:3e:00:03:01',
    '-s 10.9.0.0/16 -m mac --mac-source fa:16:3e:99:99:99',
    '-m mac --mac-source fa:16:3e:00:03:01',
  ])
  assert.ok(six[chainsOf(port.portId).source]!.rules[0]!.startsWith('-s fe80::f816:3eff:fe00:301/128 '))
})

test('a trusted port passes everything and has no chains of its own', async () => {
  const port = device(1, { portSecurity: false })
  const { four } = await chainsAfter(port)
  assert.equal(four[chainsOf(port.portId).ingress], undefined)
  assert.deepEqual(
    four['neutron-openvswi-FORWARD']?.rules.map((line) => line.split(' ').at(-1)),
    ['ACCEPT', 'ACCEPT'],
  )
})

test('a second run changes nothing; zones stay with their ports across restarts and are not shared', async () => {
  const iptables = simulatedIpTables()
  const [a, b, c] = [device(1), device(2), device(3)]
  assert.ok((await new HybridFirewall(iptables).apply([a, b])).length > 0)
  const zoneOf = async (port: DeviceDetails) => {
    const rules = (await iptables.save(undefined, 4)).raw!['neutron-openvswi-PREROUTING']!.rules
    return Number(/zone (\d+)$/.exec(rules.find((line) => line.includes(port.portId.slice(0, 11)))!)?.[1])
  }
  const before = [await zoneOf(a), await zoneOf(b)]
  assert.notEqual(before[0], before[1])
  const count = iptables.changes()
  assert.deepEqual(await new HybridFirewall(iptables).apply([a, b]), [])
  assert.equal(iptables.changes(), count)
  await new HybridFirewall(iptables).apply([b, c])
  assert.equal(await zoneOf(b), before[1])
  assert.notEqual(await zoneOf(c), before[1])
  assert.deepEqual(iptables.cuts(), [{ namespace: undefined, which: { zone: before[0] } }])
  await new HybridFirewall(iptables).apply([])
  const left = Object.keys((await iptables.save(undefined, 4)).filter ?? {}).filter((chain) => /-[ios][0-9a-f]{8}-/.test(chain))
  assert.deepEqual(left, [])
})

test('a rule that is taken away cuts the connections it let in; a rule that is added cuts none', async () => {
  const iptables = simulatedIpTables()
  const ssh = rule({ protocol: 'tcp', portMin: 22, portMax: 22 })
  await new HybridFirewall(iptables).apply([device(1, { rules: [] })])
  await new HybridFirewall(iptables).apply([device(1, { rules: [ssh] })])
  assert.deepEqual(iptables.cuts(), [])
  await new HybridFirewall(iptables).apply([device(1, { rules: [] })])
  assert.equal(iptables.cuts().length, 1)
})

const GROUP = '77777777-aaaa-4bbb-8ccc-000000000001'
const toEachOther = [
  rule({ remoteGroupId: GROUP }),
  rule({ direction: 'egress', remoteGroupId: GROUP, protocol: 'tcp', portMin: 22, portMax: 22 }),
]

test('the members of a group are listed once, however many ports name it; who leaves it is cut off', async () => {
  const iptables = simulatedIpTables()
  const firewall = new HybridFirewall(iptables)
  const ports = [device(1, { rules: toEachOther }), device(2, { rules: toEachOther })]
  const { from, to } = groupChains(GROUP)
  await firewall.apply(ports, new Map([[GROUP, ['10.1.0.11/32', '10.1.0.12/32', '10.9.0.0/16', 'fd00::1/128']]]))
  const { filter } = await iptables.save(undefined, 4)
  assert.deepEqual(filter![from]!.rules, ['-s 10.1.0.11/32 -j ACCEPT', '-s 10.1.0.12/32 -j ACCEPT', '-s 10.9.0.0/16 -j ACCEPT'])
  assert.equal(filter![to]!.rules[0], '-d 10.1.0.11/32 -j ACCEPT')
  for (const { portId } of ports) {
    assert.ok(filter![chainsOf(portId).ingress]!.rules.includes(`-j ${from}`))
    assert.ok(filter![chainsOf(portId).egress]!.rules.includes(`-p tcp -m tcp --dport 22 -j ${to}`))
  }
  await firewall.apply(ports, new Map([[GROUP, ['10.1.0.11/32']]]))
  const which = iptables.cuts().map((cut) => cut.which)
  assert.deepEqual(which.slice(0, 2), [{ source: '10.1.0.12/32' }, { source: '10.9.0.0/16' }])
  assert.equal(which.length, 4)
  await firewall.apply(ports.map((port) => ({ ...port, rules: [] })))
  assert.equal((await iptables.save(undefined, 4)).filter![from], undefined)
})

test('a port more is a matter of its own lines, however many there are', async () => {
  const linesFor = async (n: number) => {
    const iptables = simulatedIpTables()
    const firewall = new HybridFirewall(iptables)
    const ports = Array.from({ length: n + 1 }, (_, i) => device(i + 1, { rules: toEachOther }))
    const addresses = (some: DeviceDetails[]) => new Map([[GROUP, some.flatMap((port) => port.fixedIps.map((ip) => `${ip.address}/32`))]])
    await firewall.apply(ports.slice(0, n), addresses(ports.slice(0, n)))
    const changes = await firewall.apply(ports, addresses(ports))
    return changes.flatMap((text) => [...text.matchAll(/(\d+) lines/g)].map((match) => Number(match[1]))).reduce((a, b) => a + b)
  }
  assert.equal(await linesFor(100), await linesFor(20))
})

test('who is admitted stands where a look at everything would put him; without knowledge of what stands there nobody is', async () => {
  const iptables = simulatedIpTables()
  const firewall = new HybridFirewall(iptables)
  const ports = [device(1, { rules: [...toEachOther, rule({ etherType: 'IPv6', remoteGroupId: GROUP })] })]
  assert.equal(await firewall.admit(new Map([[GROUP, ['10.1.0.9/32']]])), null)
  const first = ['10.1.0.50/32', '10.1.0.9/32', 'fd00::1/128']
  await firewall.apply(ports, new Map([[GROUP, first]]))
  const joined = ['10.1.0.5/32', '10.1.0.9/32', '10.1.0.100/32', '10.9.0.0/16', 'fd00::a/128', '::/0', '0.0.0.0/0']
  const others = '99999999-bbbb-4bbb-8ccc-000000000002'
  const words = await firewall.admit(
    new Map([
      [GROUP, joined],
      [others, ['10.1.0.77/32']],
    ]),
  )
  assert.deepEqual(words, ['firewall IPv4: 8 lines in filter', 'firewall IPv6: 2 lines in filter'])
  assert.deepEqual(await firewall.admit(new Map([[GROUP, joined]])), [])
  const { filter } = await iptables.save(undefined, 4)
  const { from } = groupChains(GROUP)
  assert.deepEqual(
    filter![from]!.rules.map((line) => /-s (\S+)/.exec(line)?.[1]),
    [undefined, '10.1.0.100/32', '10.1.0.5/32', '10.1.0.50/32', '10.1.0.9/32', '10.9.0.0/16'],
  )
  assert.deepEqual(await firewall.apply(ports, new Map([[GROUP, [...first, ...joined]]])), [])
  assert.deepEqual(iptables.cuts(), [])
})
