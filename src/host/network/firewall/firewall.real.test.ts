import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { realIpTables } from '../../../drivers/iptables/real.ts'
import type { SecurityRule } from '../../../network/rpc.ts'
import { device } from '../testing.ts'
import { HybridFirewall } from './firewall.ts'
import { ownsFirewallChain } from './rules.ts'

before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
})

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

test('iptables takes every kind of rule and says it back in our words: the second run finds nothing to do', async () => {
  const firewall = new HybridFirewall(realIpTables())
  const names =
    'ah dccp egp esp gre icmp icmpv6 igmp ipip ipv6-encap ipv6-frag ipv6-icmp ipv6-nonxt ipv6-opts ipv6-route ospf pgm rsvp sctp tcp udp udplite vrrp any'
  const protocols = [...names.split(' '), ...Array.from({ length: 256 }, (_, number) => String(number)), '099', 'constructor']
  const rules = (['ingress', 'egress'] as const).flatMap((direction) =>
    (['IPv4', 'IPv6'] as const).flatMap((etherType) => [
      ...protocols.map((protocol) => rule({ direction, etherType, protocol })),
      ...['tcp', 'udp', 'sctp', 'dccp', 'udplite'].flatMap((protocol) => [
        rule({ direction, etherType, protocol, portMin: 22, portMax: 22 }),
        rule({ direction, etherType, protocol, portMin: 5000, portMax: 5010 }),
      ]),
      rule({ direction, etherType, protocol: 'icmp', portMin: 8, portMax: null }),
      rule({ direction, etherType, protocol: 'ipv6-icmp', portMin: 3, portMax: 1 }),
      rule({
        direction,
        etherType,
        remotePrefix: etherType === 'IPv4' ? '192.0.2.9/24' : 'fd00:0:0::9/64',
        protocol: 'tcp',
        portMin: 1,
        portMax: 65_535,
      }),
      rule({ direction, etherType, remotePrefix: etherType === 'IPv4' ? '0.0.0.0/0' : '::/0' }),
    ]),
  )
  const ports = [
    device(1, {
      rules,
      allowedAddressPairs: [
        { address: '10.1.0.0/24', macAddress: 'FA:16:3E:00:99:01' },
        { address: '::/0', macAddress: 'fa:16:3e:00:03:01' },
      ],
    }),
    device(2, { rules: [], fixedIps: [{ subnetId: 's', address: 'fd00:1:0:0::12' }] }),
    device(3, { portSecurity: false }),
  ]
  assert.equal((await firewall.apply(ports)).length, 2)
  assert.deepEqual(await firewall.apply(ports), [])
  assert.deepEqual(await new HybridFirewall(realIpTables()).apply([...ports]), [])
  await firewall.apply([device(2, { rules: [] })])
  await firewall.apply([])
  for (const family of [4, 6] as const)
    for (const table of Object.values(await realIpTables().save(undefined, family)))
      assert.deepEqual(
        Object.keys(table).filter((chain) => ownsFirewallChain(chain) && /-[ios]3333/.test(chain)),
        [],
      )
})
