import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { dnsmasqContract, NETWORK } from './contract.ts'
import { argumentsOf, filesOf, optionLine, parseLogLine } from './files.ts'
import { simulatedDnsmasq } from './simulated.ts'

dnsmasqContract(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dnsmasq-twin-'))
  const file = join(folder, 'dnsmasq.json')
  let dnsmasq = simulatedDnsmasq({ file })
  return {
    get dnsmasq() {
      return dnsmasq
    },
    namespace: 'qdhcp-1',
    interface: 'tap0',
    ask: async (mac) => dnsmasq.request(NETWORK, mac)?.address,
    again: () => {
      dnsmasq = simulatedDnsmasq({ file })
      return dnsmasq
    },
    done: async () => rmSync(folder, { recursive: true }),
  }
})

test('the files and arguments are those that Neutron writes', () => {
  const service = {
    networkId: NETWORK,
    namespace: `qdhcp-${NETWORK}`,
    interface: 'tapd0000001-aa',
    domain: 'openstacklocal',
    subnets: [
      { id: 's4', cidr: '10.1.0.0/26' },
      { id: 's6', cidr: 'fd00:1::/64' },
    ],
    hosts: [
      { portId: 'p1', mac: 'FA:16:3E:00:03:0A', name: 'host-10-1-0-10', addresses: ['10.1.0.10', 'fd00:1:0:0::10'] },
      { portId: 'p2', mac: 'fa:16:3e:00:03:0b', name: 'web', addresses: ['10.1.0.11'] },
    ],
    options: [
      {
        for: { subnetId: 's4' },
        family: 4,
        option: 'classless-static-route',
        values: ['169.254.169.254/32', '10.1.0.2', '0.0.0.0/0', '10.1.0.1'],
      },
      { for: { subnetId: 's4' }, family: 4, option: 249, values: ['0.0.0.0/0', '10.1.0.1'] },
      { for: { subnetId: 's6' }, family: 6, option: 'dns-server', values: ['[fd00:1::2]'] },
      { for: { portId: 'p2' }, family: 4, option: 'bootfile-name', values: ['a file'] },
    ],
    upstreamDns: ['192.0.2.53'],
    mtu: 1450,
  } as const
  assert.deepEqual(filesOf(structuredClone(service) as any), {
    host: 'fa:16:3e:00:03:0a,host-10-1-0-10.openstacklocal,10.1.0.10\nfa:16:3e:00:03:0a,host-10-1-0-10.openstacklocal,[fd00:1::10]\nfa:16:3e:00:03:0b,set:port-p2,web.openstacklocal,10.1.0.11\n',
    addn_hosts:
      '10.1.0.10\thost-10-1-0-10.openstacklocal host-10-1-0-10\nfd00:1::10\thost-10-1-0-10.openstacklocal host-10-1-0-10\n10.1.0.11\tweb.openstacklocal web\n',
    opts: 'tag:subnet-s4,option:classless-static-route,169.254.169.254/32,10.1.0.2,0.0.0.0/0,10.1.0.1\ntag:subnet-s4,249,0.0.0.0/0,10.1.0.1\ntag:subnet-s6,option6:dns-server,[fd00:1::2]\ntag:port-p2,option:bootfile-name,"a file"\n',
  })
  const args = argumentsOf(structuredClone(service) as any, '/run/dhcp/n', 'nobody')
  for (const arg of [
    '--dhcp-range=set:subnet-s4,10.1.0.0,static,255.255.255.192,86400s',
    '--dhcp-range=set:subnet-s6,fd00:1::,static,64,86400s',
    '--interface=tapd0000001-aa',
    '--server=192.0.2.53',
    '--dhcp-lease-max=65536',
  ])
    assert.ok(args.includes(arg), arg)
})

test('an option value keeps its commas as separators and quotes its blanks', () => {
  assert.equal(
    optionLine({ for: { portId: 'p' }, family: 4, option: '150', values: ['10.0.0.1,10.0.0.2'] }),
    'tag:port-p,150,10.0.0.1,10.0.0.2',
  )
  assert.equal(
    optionLine({ for: { portId: 'p' }, family: 6, option: 59, values: ['http://[fd00::1]/b#x'] }),
    'tag:port-p,option6:59,"http://[fd00::1]/b#x"',
  )
})

test('log lines are understood with and without a transaction id', () => {
  const at = 5
  const line = 'Nov 23 08:49:01 dnsmasq-dhcp[123]: DHCPACK(tap3f2a90c1-7e) 10.1.0.10 fa:16:3e:00:03:0a host-10-1-0-10'
  assert.deepEqual(parseLogLine('n', line, at), {
    networkId: 'n',
    kind: 'DHCPACK',
    mac: 'fa:16:3e:00:03:0a',
    address: '10.1.0.10',
    name: 'host-10-1-0-10',
    line,
    at,
  })
  assert.deepEqual(
    parseLogLine('n', 'Nov 23 08:49:01 dnsmasq-dhcp[1]: 77 DHCPDISCOVER(tap) fa:16:3e:00:03:0a no address available', at)?.mac,
    'fa:16:3e:00:03:0a',
  )
  assert.equal(parseLogLine('n', 'Nov 23 08:49:01 dnsmasq-dhcp[1]: read /x/host', at), undefined)
})
