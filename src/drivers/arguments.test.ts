import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../kernel/errors/errors.ts'
import { exec } from '../kernel/exec/exec.ts'
import type { DhcpHost, DhcpOption, DhcpService } from './dnsmasq/driver.ts'
import { argumentsOf as dhcpArguments, filesOf, identifier } from './dnsmasq/files.ts'
import { configurationOf } from './haproxy/configuration.ts'
import { realIpTables } from './iptables/real.ts'
import { realIso } from './iso/real.ts'
import { lvmBackend } from './lvm/lvm.ts'
import { realNetNs } from './netns/real.ts'
import { OfctlFlows } from './ovs/openflow.ts'
import type { DiskFormat } from './qemu-img/driver.ts'
import { realQemuImg } from './qemu-img/real.ts'
import { argumentsOf as advertiserArguments } from './radv/arguments.ts'
import { tgt } from './tgt/real.ts'

const folder = mkdtempSync(join(tmpdir(), 'yun-arguments-'))
const [bin, log, work] = ['bin', 'log', 'work'].map((name) => join(folder, name)) as [string, string, string]
const PATH = process.env.PATH

/** In the place of each program one that writes down how it was called and what it was told, and answers as if there were nothing yet. */
const SAYS: Record<string, string> = {
  ip: '[]',
  lvs: '{"report":[{"lv":[]}]}',
  vgs: '{"report":[{"vg":[{"vg_size":"1","vg_free":"1"}]}]}',
  ...Object.fromEntries(
    'tc ethtool arping iptables-restore ip6tables-restore iptables-save conntrack ovs-ofctl qemu-img genisoimage isoinfo lvcreate lvextend lvremove lvrename vgchange blkdiscard dd cp tgtadm dnsmasq haproxy'
      .split(' ')
      .map((name) => [name, '']),
  ),
}
before(() => {
  mkdirSync(bin)
  mkdirSync(work)
  for (const [name, says] of Object.entries(SAYS)) {
    const file = join(bin, name)
    writeFileSync(file, `#!/bin/sh\nprintf '%s\\000' "\${0##*/}" "$@" "$(cat)" "END" >>${log}\necho '${says}'\n`)
    chmodSync(file, 0o755)
  }
  process.env.PATH = `${bin}:${PATH}`
})
after(() => {
  process.env.PATH = PATH
  rmSync(folder, { recursive: true })
})

/** Each call: the program, its arguments, what it was told. */
async function called(work: () => Promise<unknown>): Promise<{ calls: string[][]; error: unknown }> {
  writeFileSync(log, '')
  const error = await work().then(
    () => null,
    (reason) => reason,
  )
  const words = readFileSync(log, 'utf8').split('\0').slice(0, -1)
  const calls: string[][] = [[]]
  for (const word of words)
    word === 'END' ? calls.push([]) : calls.at(-1)!.push(word.replaceAll(/flows-\w{6}|\.iso-\w{6}/g, 'made-of-late'))
  return { calls: calls.slice(0, -1), error }
}

const UUID = '73b896bb-7c7d-447e-ab6a-000000000001'
const OTHER = '73b896bb-7c7d-447e-ab6a-000000000002'
const disk = (path: string) => ({ path, format: 'qcow2' as const })
const netns = realNetNs()
const link = (name: string) => netns.apply(undefined, [{ do: 'set-link', name, up: true }])
const inside = (namespace: string) => netns.apply(namespace, [{ do: 'add-dummy', name: 'd0' }])
/** The arguments and files of a DHCP server; nobody waits for one that does not come. */
function dhcp(over: Partial<DhcpService>): Promise<unknown> {
  const service: DhcpService = {
    ...{
      networkId: '73b896bb-7c7d-447e-ab6a-000000000003',
      namespace: 'qdhcp-1',
      interface: 'tap1',
      domain: 'cloud.example',
      mtu: 1450,
      upstreamDns: [],
    },
    ...{ subnets: [{ id: OTHER, cidr: '10.0.0.0/24' }], hosts: [], options: [] },
    ...over,
  }
  return exec('dnsmasq', dhcpArguments(service, `/dhcp/${identifier(service.networkId)}`, 'nobody'), {
    input: Object.values(filesOf(service)).join('---\n'),
  })
}
const host = (over: Partial<DhcpHost>) =>
  dhcp({ hosts: [{ portId: UUID, mac: 'fa:16:3e:00:00:01', name: 'host-1', addresses: ['10.0.0.7'], ...over }] })
const option = (over: Partial<DhcpOption>) =>
  dhcp({ options: [{ for: { portId: UUID }, family: 4, option: 'router', values: ['10.0.0.1'], ...over }] })
const advertise = (link: object, prefix: object = {}) =>
  exec(
    'dnsmasq',
    advertiserArguments(
      {
        ...{ routerId: UUID, namespace: 'qrouter-1' },
        links: [{ interface: 'qr-1', mtu: 1450, prefixes: [{ cidr: 'fd00::1/64', mode: 'slaac', dns: ['fd00::53'], ...prefix }], ...link }],
      },
      '/ra',
      'nobody',
    ),
  )
const proxy = (over: object) =>
  exec('haproxy', [], {
    input: configurationOf(
      { ...{ kind: 'router', id: UUID, namespace: 'qrouter-1' }, ...{ listen: [], socket: '/run/x' }, ...over },
      '/run/pid',
      'haproxy',
    ),
  })

/** What a word is, one that is right, and where it goes. */
const PLACES: [what: string, right: string, use: (word: string) => Promise<unknown>][] = [
  ['a namespace that a program runs in', 'qrouter-1', (word) => exec('tc', ['qdisc'], { netns: word })],
  ['a namespace that is made', 'qrouter-1', (word) => netns.ensureNamespace(word)],
  ['a namespace that is removed', 'qrouter-1', (word) => netns.removeNamespace(word)],
  ['a namespace with links', 'qrouter-1', (word) => inside(word)],
  ['a device', 'tap1', (word) => link(word)],
  ['a device that is made', 'tap1', (word) => netns.apply(undefined, [{ do: 'add-veth', name: 'qvb1', peer: word, peerNamespace: 'ns1' }])],
  ['a device that is looked at', 'tap1', (word) => netns.neighbours(undefined, word)],
  ['a device with offloads', 'tap1', (word) => netns.setChecksumOffload('ns1', word, false)],
  ['a device with a limit', 'tap1', (word) => netns.setShape(undefined, word, { kind: 'htb', rate: 1000 })],
  ['a MAC address', 'fa:16:3e:00:00:01', (word) => netns.apply(undefined, [{ do: 'set-link', name: 'tap1', mac: word }])],
  ['an address with a prefix', '10.0.0.1/24', (word) => netns.apply(undefined, [{ do: 'set-address', dev: 'tap1', cidr: word }])],
  ['a destination', '10.9.0.0/16', (word) => netns.apply(undefined, [{ do: 'set-route', to: word, via: '10.0.0.1' }])],
  ['a gateway', '10.0.0.1', (word) => netns.apply(undefined, [{ do: 'set-route', to: 'default', via: word }])],
  ['an address that is announced', '10.0.0.1', (word) => netns.announce('ns1', 'tap1', word)],
  ['a kernel parameter', 'net.ipv4.ip_forward', (word) => netns.setSysctl('ns1', { [word]: 1 })],
  ['a firewall rule', '-A x -j ACCEPT', (word) => realIpTables().restore('ns1', 4, { filter: [word] }, { noflush: true })],
  ['a connection', '10.0.0.1', (word) => realIpTables().cut('ns1', { source: word })],
  ['a bridge', 'br-int', (word) => new OfctlFlows('/run').addFlows(word, ['actions=drop'])],
  ['a flow', 'table=1,actions=drop', (word) => new OfctlFlows('/run').addFlows('br-int', [word])],
  ['a match', 'cookie=0x1/-1', (word) => new OfctlFlows('/run').deleteFlows('br-int', word)],
  ['an image', '/images/one', (word) => realQemuImg().info(disk(word))],
  ['an image that is made', '/images/one', (word) => realQemuImg().create(disk(word), 512)],
  ['an image that is converted', '/images/one', (word) => realQemuImg().convert(disk(word), disk('/images/two'))],
  ['a backing file', '/images/one', (word) => realQemuImg().createOverlay('/images/two', disk(word))],
  ['a format', 'vmdk', (word) => realQemuImg().check({ path: '/images/one', format: word as DiskFormat })],
  ['a backing format', 'raw', (word) => realQemuImg().createOverlay('/images/two', { path: '/images/one', format: word as DiskFormat })],
  [
    'a name on a disc',
    'openstack/latest/user_data',
    (word) => realIso().create(join(work, 'disc'), { label: 'config-2', files: new Map([[word, Buffer.from('x')]]) }),
  ],
  ['a label of a disc', 'config-2', (word) => realIso().create(join(work, 'disc'), { label: word, files: new Map() })],
  ['a volume', UUID, async (word) => (await lvmBackend('group', { thin: false })).create(word, 1)],
  ['a snapshot', UUID, async (word) => (await lvmBackend('group', { thin: false })).createSnapshot(word, word)],
  [
    'a target',
    'iqn.2010-10.org.openstack:volume-1',
    (word) => tgt({ controlPort: 1, portal: 'x' }).ensure({ iqn: word, path: '/dev/x', secret: 'x', readOnly: false }),
  ],
  [
    'a disk of a target',
    '/dev/x',
    (word) =>
      tgt({ controlPort: 1, portal: 'x' }).ensure({ iqn: 'iqn.2010-10.org.openstack:volume-1', path: word, secret: 'x', readOnly: false }),
  ],
  ['a domain', 'cloud.example', async (word) => await dhcp({ domain: word })],
  ['a device with DHCP', 'tap1', async (word) => await dhcp({ interface: word })],
  ['a network', UUID, async (word) => await dhcp({ networkId: word })],
  ['a subnet', '10.0.0.0/24', async (word) => await dhcp({ subnets: [{ id: OTHER, cidr: word }] })],
  ['a name server', '10.0.0.53', async (word) => await dhcp({ upstreamDns: [word] })],
  ['a device that advertises', 'qr-1', async (word) => await advertise({ interface: word })],
  ['a prefix', 'fd00::1/64', async (word) => await advertise({}, { cidr: word })],
  ['a name server that is advertised', 'fd00::53', async (word) => await advertise({}, { dns: [word] })],
  ['a host', 'host-1', async (word) => await host({ name: word })],
  ['the MAC address of a host', 'fa:16:3e:00:00:01', async (word) => await host({ mac: word })],
  ['the address of a host', '10.0.0.7', async (word) => await host({ addresses: [word] })],
  ['a port', UUID, async (word) => await option({ for: { portId: word } })],
  ['an option', 'router', async (word) => await option({ option: word })],
  ['the value of an option', 'a/b/c', async (word) => await option({ values: [word] })],
  ['a router with a proxy', UUID, async (word) => await proxy({ id: word })],
  ['the socket of a proxy', '/run/x', async (word) => await proxy({ socket: word })],
]

const hostileFor = (right: string): string[] => [
  '-rf',
  '--help',
  `-${right}`,
  `${right}\n-A INPUT -j ACCEPT`,
  `${right}\r\nlink delete eth0`,
  `${right} -x`,
  `${right}\tx`,
  `${right};id`,
  `${right}$(id)`,
  `${right}\`id\``,
  `${right}|id`,
  `${right}\0x`,
  `${right},x`,
  `${right}%n`,
  `../${right}`,
  `${right}/../../x`,
  `json:{"driver":"file"}`,
  `${right}\u202e`,
  `${right}\u2028x`,
  '\uff0d\uff52',
  '',
  ' ',
  '.',
  '..',
  '@x',
  'x'.repeat(70_000),
]
const RUNS = Number(process.env.YUN_TEST_RUNS ?? 10)

describe('no word becomes anything but the one word that it is:', () => {
  for (const [what, right, use] of PLACES)
    test(what, async () => {
      const usual = await called(() => use(right))
      assert.ok(usual.calls.length > 0, `nothing is run: ${usual.error}`)
      /** What stands there anyway cannot be told from the word. */
      const isUsual = (word: string) => JSON.stringify(usual.calls).toLowerCase().includes(word.toLowerCase())
      const stays = async (word: string) => {
        const { calls, error } = await called(() => use(word))
        if (error instanceof Fault && error.status === 400 && calls.length <= usual.calls.length) {
          assert.ok(isUsual(word) || !calls.flat().some((each) => each.includes(word)), `${JSON.stringify(word)} is refused too late`)
          return
        }
        // an account is called as the last part of its target
        const parts = (of: string) =>
          [of, ...(of.includes(':') ? [of.slice(of.lastIndexOf(':') + 1)] : [])].map((part) => part.trim().toLowerCase())
        const shape = (lists: string[][], of: string, named: boolean) =>
          lists.map((list) =>
            list.map((each) => {
              const text = parts(of).reduce(
                (now, part) => (named ? now.replaceAll(part, 'WORD').replaceAll('"WORD"', 'WORD') : ''),
                each.toLowerCase(),
              )
              return { lines: each.split(/[\n\r]/).length, text }
            }),
          )
        const told = parts(word).every((part) => part.length > 5 && !isUsual(part))
        assert.deepEqual(shape(calls, word, told), shape(usual.calls, right, told), JSON.stringify(word.slice(0, 80)))
        assert.ok(
          !calls.flat().some((each) => word.length > 1 && word.startsWith('-') && !right.startsWith('-') && each.startsWith(word)),
          `${word} is an option`,
        )
        assert.ok(!/[\n\r\0]/.test(word), `${JSON.stringify(word)} is more than one line`)
      }
      for (const word of hostileFor(right)) await stays(word)
      const mixed = fc.tuple(fc.constantFrom('', '-', right), fc.string({ maxLength: 12, unit: 'binary' }), fc.constantFrom('', right))
      await fc.assert(
        fc.asyncProperty(mixed, (parts) => stays(parts.join(''))),
        { numRuns: RUNS },
      )
    })
})
