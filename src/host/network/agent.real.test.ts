import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from '../../drivers/daemon.ts'
import { realDnsmasq } from '../../drivers/dnsmasq/real.ts'
import { realHaProxy } from '../../drivers/haproxy/real.ts'
import { realIpTables } from '../../drivers/iptables/real.ts'
import { realNetNs } from '../../drivers/netns/real.ts'
import { OvsdbOvs } from '../../drivers/ovs/real.ts'
import { realRadv } from '../../drivers/radv/real.ts'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { silent } from '../../kernel/log/log.ts'
import { collecting, onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { agent, type DeviceDetails, events, networkTopic, type SecurityRule } from '../../network/rpc.ts'
import { ensureDaemons, stopDaemons } from '../machine/daemons.ts'
import { NetworkHost } from './agent.ts'
import type { MetadataRequest } from './metadata/server.ts'
import { isSignedBy } from './metadata/signature.ts'
import { dhcpNamespace, qbrOf, tapOf } from './names.ts'
import { device, dhcpNetwork, FakeControl, floatingIp, NETWORK, plug, router, unplug } from './testing.ts'

/** Two guests (namespaces plugged as guests are), a router, the outside behind br-ex: everything real but control and compute. */
const SECRET = 'between the two of us'
const guests = [device(1), device(2)]
const [first, second] = guests as [DeviceDetails, DeviceDetails]
const nameOf = (guest: DeviceDetails) => `guest-${guest.portId.slice(0, 8)}`
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
const egress = rule({ direction: 'egress' })

let folder: string
let machine: ConstructorParameters<typeof NetworkHost>[0]['machine']
let bus: MemoryBus
let control: FakeControl
let host: NetworkHost
const asked: MetadataRequest[] = []

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  folder = mkdtempSync(join(tmpdir(), 'network-host-'))
  await exec('chmod', ['711', folder])
  await ensureDaemons({ stateDir: folder, parts: ['openvswitch'] })
  machine = {
    ovs: new OvsdbOvs(),
    netns: realNetNs(),
    iptables: realIpTables(),
    dnsmasq: realDnsmasq({ directory: join(folder, 'dhcp') }),
    haproxy: realHaProxy({ directory: join(folder, 'ns-metadata-proxy') }),
    radv: realRadv({ directory: join(folder, 'ra') }),
  }
  bus = new MemoryBus()
  control = new FakeControl(bus)
  control.devices = guests
  control.networks = [dhcpNetwork(guests)]
  control.routers = [router()]
  host = make()
  await host.start()
  await host.settle()
  assert.deepEqual([host.status().l2.lastError, host.status().dhcp.lastError, host.status().l3.lastError], [null, null, null])
  await outsideWorld()
  for (const guest of guests) {
    await plug(machine, guest)
    await guestDevice(guest)
  }
  await until('both guests are wired', () => guests.every((guest) => control.up.has(guest.portId)), 10_000)
})

after(async () => {
  await host?.stop()
  machine?.ovs.close()
  await stopDaemons({ stateDir: folder, parts: ['openvswitch'] })
  rmSync(folder, { recursive: true, force: true })
})

const make = () =>
  new NetworkHost({
    settings: {
      host: 'one',
      serves: { dhcp: true, l3: true },
      bridgeMappings: { public: 'br-ex' },
      tunnels: { address: null, types: [] },
      external: { hostAddress: true, masquerade: true },
      dnsDomain: 'openstacklocal',
      upstreamDns: [],
      metadataSocket: join(folder, 'metadata.sock'),
      everyMs: 60_000,
    },
    machine,
    bus,
    log: silent(),
    metadataSecret: SECRET,
    metadataApi: async (request) => {
      asked.push(request)
      return {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ uuid: request.headers['x-instance-id'] }),
      }
    },
  })

/** Another machine on the external network, which also plays the internet. */
async function outsideWorld(): Promise<void> {
  await machine.netns.ensureNamespace('outside')
  await machine.netns.apply(undefined, [
    { do: 'add-veth', name: 'ext-p', peer: 'ext0', peerNamespace: 'outside' },
    { do: 'set-link', name: 'ext-p', up: true },
  ])
  await machine.netns.setChecksumOffload(undefined, 'ext-p', false)
  await machine.netns.setChecksumOffload('outside', 'ext0', false)
  await machine.netns.apply('outside', [
    { do: 'set-address', dev: 'ext0', cidr: '172.24.4.200/24' },
    { do: 'set-link', name: 'ext0', up: true },
  ])
  await machine.ovs.ensurePort('br-ex', 'ext-p')
}

/** What QEMU is in earnest: a tap in qbr, here one end of a pair whose other end is the guest's eth0. */
async function guestDevice(guest: DeviceDetails): Promise<void> {
  const { netns } = machine
  await netns.ensureNamespace(nameOf(guest))
  await netns.apply(undefined, [
    { do: 'add-veth', name: tapOf(guest.portId), peer: 'eth0', peerNamespace: nameOf(guest) },
    { do: 'set-link', name: tapOf(guest.portId), master: qbrOf(guest.portId), up: true },
  ])
  await netns.apply(nameOf(guest), [{ do: 'set-link', name: 'eth0', mac: guest.macAddress, mtu: 1450, up: true }])
  await netns.setChecksumOffload(nameOf(guest), 'eth0', false)
}

const inside = (guest: DeviceDetails, program: string, args: string[], options: { input?: string; timeoutMs?: number } = {}) =>
  exec(program, args, { netns: nameOf(guest), ok: [0, 1, 2, 143], timeoutMs: 20_000, ...options })

async function answers(namespace: string, address: string): Promise<boolean> {
  return (await exec('ping', ['-c', '1', '-W', '1', address], { netns: namespace, ok: [0, 1, 2] })).code === 0
}

/** What udhcpc is given; it configures nothing, the test does. */
async function lease(guest: DeviceDetails): Promise<Record<string, string>> {
  const script = join(import.meta.dirname, 'testing-udhcpc.sh')
  const { stdout } = await inside(guest, 'busybox', [
    'udhcpc',
    '-f',
    '-q',
    '-n',
    '-t',
    '5',
    '-T',
    '1',
    '-A',
    '0',
    '-O',
    'mtu',
    '-i',
    'eth0',
    '-s',
    script,
  ])
  return Object.fromEntries([...stdout.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]))
}

async function configure(guest: DeviceDetails): Promise<void> {
  await machine.netns.apply(nameOf(guest), [
    { do: 'set-address', dev: 'eth0', cidr: `${guest.fixedIps[0]!.address}/24` },
    { do: 'set-route', to: 'default', via: '10.1.0.1' },
  ])
}

/** A TCP server in a namespace that answers `hello` to each connection; resolves with what a client reads. */
async function tcp(server: string, client: string, address: string, port: number): Promise<string> {
  const listening = exec('busybox', ['nc', '-l', '-p', String(port), '-e', '/bin/echo', 'hello'], {
    netns: server,
    ok: [0, 1, 143, -1],
    timeoutMs: 4_000,
  }).catch(() => {})
  const isUp = async () => (await exec('ss', ['-Hltn', `sport = :${port}`], { netns: server })).stdout.length > 0
  await until('the server listens', isUp, 3_000)
  const { stdout } = await exec('busybox', ['nc', '-w', '2', address, String(port)], { netns: client, ok: [0, 1], timeoutMs: 6_000 })
  if (stdout) await listening
  return stdout.trim()
}

async function rulesFor(guest: DeviceDetails, rules: SecurityRule[]): Promise<void> {
  guest.rules = [egress, ...rules]
  bus.publish(events.securityGroupChanged, { portIds: [guest.portId] })
  await host.l2.reconciler.settle()
}

test('a guest gets its address by DHCP, with router, name server and MTU, and the lease is told', async () => {
  for (const guest of guests) {
    const got = await lease(guest)
    assert.deepEqual(got, { ip: guest.fixedIps[0]!.address, router: '10.1.0.1', dns: '10.1.0.2', mtu: '1450', subnet: '255.255.255.0' })
    await configure(guest)
  }
  await until('both leases are told', () => control.heard('lease').length >= 2, 2_000)
  const told = control.heard('lease').find((each) => each.macAddress === first.macAddress)
  assert.equal(told.address, '10.1.0.11')
  assert.match(told.line, /DHCPACK\(tap44444401-aa\) 10\.1\.0\.11 fa:16:3e:00:03:01/)
  assert.ok(told.startedAt <= told.at)
})

test('guests reach their gateway and the outside with the router’s address; names are answered', async () => {
  assert.ok(await answers(nameOf(first), '10.1.0.1'))
  const steps: StepRecord[] = []
  const off = onStep((step) => steps.push(step))
  assert.ok(await answers(nameOf(first), '172.24.4.200'))
  await until('the first way out is seen', () => steps.some((step) => step.step === 42), 4_000)
  off()
  assert.match(steps[0]!.evidence.text, /10\.1\.0\.11 reached 172\.24\.4\.200 as 172\.24\.4\.10/)
  const { stdout } = await inside(first, 'busybox', ['nslookup', 'host-10-1-0-12.openstacklocal', '10.1.0.2'])
  assert.match(stdout, /10\.1\.0\.12/)
})

test('what leaves for the internet goes on with this machine’s address', async () => {
  const { netns } = machine
  await netns.ensureNamespace('internet')
  await netns.apply(undefined, [
    { do: 'add-veth', name: 'uplink', peer: 'inet0', peerNamespace: 'internet' },
    { do: 'set-address', dev: 'uplink', cidr: '198.51.100.1/24' },
    { do: 'set-link', name: 'uplink', up: true },
  ])
  await netns.apply('internet', [
    { do: 'set-address', dev: 'inet0', cidr: '198.51.100.2/24' },
    { do: 'set-link', name: 'inet0', up: true },
  ])
  // the internet has no way back to 172.24.4.0/24
  assert.ok(await answers(nameOf(first), '198.51.100.2'))
  await netns.removeNamespace('internet')
})

test('nothing comes in until a rule lets it; what is answered comes back; a rule taken away ends it', async () => {
  assert.ok(!(await answers(nameOf(second), '10.1.0.11')), 'refused by default')
  await rulesFor(first, [rule({ protocol: 'icmp', remotePrefix: '10.1.0.12/32' })])
  assert.ok(await answers(nameOf(second), '10.1.0.11'))
  assert.ok(!(await answers('outside', '10.1.0.11')))
  assert.equal(await tcp(nameOf(first), nameOf(second), '10.1.0.11', 8080), '')
  await rulesFor(first, [rule({ protocol: 'tcp', portMin: 8080, portMax: 8081, remotePrefix: '10.1.0.0/24' })])
  assert.equal(await tcp(nameOf(first), nameOf(second), '10.1.0.11', 8080), 'hello')
  assert.ok(!(await answers(nameOf(second), '10.1.0.11')))
  await rulesFor(first, [])
})

test('a guest cannot pass for another: not by address, not by MAC, not by ARP, not as a DHCP server', async () => {
  await rulesFor(second, [rule({ protocol: 'icmp' })])
  assert.ok(await answers(nameOf(first), '10.1.0.12'))
  const { netns } = machine
  await netns.apply(nameOf(first), [{ do: 'set-address', dev: 'eth0', cidr: '10.1.0.99/24' }])
  const { code } = await inside(first, 'ping', ['-c', '1', '-W', '1', '-I', '10.1.0.99', '10.1.0.12'])
  assert.notEqual(code, 0, 'a foreign address')
  await inside(first, 'arping', ['-q', '-U', '-c', '1', '-w', '1', '-I', 'eth0', '10.1.0.99'])
  assert.ok(
    !(await netns.neighbours(nameOf(second), 'eth0')).some((each) => each.address === '10.1.0.99' && each.mac),
    'a foreign address by ARP',
  )
  await netns.apply(nameOf(first), [{ do: 'delete-address', dev: 'eth0', cidr: '10.1.0.99/24' }])
  await netns.apply(nameOf(first), [{ do: 'set-link', name: 'eth0', mac: 'fa:16:3e:66:66:66' }])
  assert.ok(!(await answers(nameOf(first), '10.1.0.12')), 'a foreign MAC')
  await netns.apply(nameOf(first), [{ do: 'set-link', name: 'eth0', mac: first.macAddress }])
  await until('its own passes again', () => answers(nameOf(first), '10.1.0.12'), 5_000)
  await rulesFor(second, [])
})

test('a floating IP leads in from the outside and from this machine, and out again; taken away it leads nowhere', async () => {
  await rulesFor(first, [rule({ protocol: 'icmp' }), rule({ protocol: 'tcp', portMin: 22, portMax: 22 })])
  control.routers = [router({ floatingIps: [floatingIp(1, first)] })]
  bus.publish(events.routerChanged, { routerId: control.routers[0]!.id })
  await until('control is told', () => control.heard('router-ready').some((each) => each.floatingIps[0]?.status === 'ACTIVE'), 5_000)
  assert.ok(await answers('outside', '172.24.4.51'))
  assert.equal((await exec('ping', ['-c', '1', '-W', '1', '172.24.4.51'], { ok: [0, 1, 2] })).code, 0, 'from this machine, by br-ex')
  assert.equal(await tcp(nameOf(first), 'outside', '172.24.4.51', 22), 'hello')
  assert.ok(await answers(nameOf(first), '172.24.4.200'))
  const seen = await machine.iptables.translations(`qrouter-${control.routers[0]!.id}`)
  assert.ok(
    seen.some((each) => each.source === '10.1.0.11' && each.translatedTo === '172.24.4.51'),
    'it leaves with its floating address',
  )
  const rules = control.heard('router-ready').at(-1).floatingIps[0].rules
  assert.ok(rules.some((line: string) => line.includes('DNAT --to-destination 10.1.0.11')))
  control.routers = [router()]
  await host.l3.reconciler.settle()
  assert.ok(!(await answers('outside', '172.24.4.51')))
})

test('routes whose next hop goes with the gateway do not keep the router from its others, and come back with it', async () => {
  const routes = [
    { destination: '192.168.7.0/24', nexthop: '10.1.0.12' },
    { destination: '192.168.8.0/24', nexthop: '172.24.4.200' },
  ]
  const held = async () =>
    (await machine.netns.routes(`qrouter-${control.routers[0]!.id}`, 4)).flatMap(({ to, via }) => (via ? [`${to} ${via}`] : [])).sort()
  const way = ['192.168.7.0/24 10.1.0.12']
  const all = [...way, '192.168.8.0/24 172.24.4.200', 'default 172.24.4.1']
  for (const [gateway, expected] of [
    [router().gateway, all],
    [null, way],
    [router().gateway, all],
  ] as const) {
    control.routers = [router({ routes, gateway })]
    await host.l3.reconciler.settle()
    assert.deepEqual(await held(), expected)
    assert.deepEqual(host.l3.status().routers[0]!.notes, [])
  }
  control.routers = [router()]
  await host.l3.reconciler.settle()
  assert.deepEqual(await held(), ['default 172.24.4.1'])
})

test('metadata comes through the proxy, signed for the guest that asks, whatever it claims to be', async () => {
  const steps: StepRecord[] = []
  const off = onStep((step) => steps.push(step))
  const get = (lies = '') =>
    inside(first, 'busybox', ['nc', '169.254.169.254', '80'], {
      input: `GET /openstack/latest/meta_data.json HTTP/1.0\r\nHost: 169.254.169.254\r\n${lies}\r\n`,
    })
  assert.match((await get()).stdout, new RegExp(`200 OK[\\s\\S]*"uuid":"${first.deviceId}"`))
  assert.ok(isSignedBy(SECRET, first.deviceId, asked.at(-1)!.headers['x-instance-id-signature']!))
  assert.equal(asked.at(-1)!.headers['x-forwarded-for'], '10.1.0.11')
  const lies = `X-Forwarded-For: 10.1.0.12\r\nX-Instance-ID: ${second.deviceId}\r\nX-Neutron-Network-ID: ${NETWORK}\r\n`
  assert.match((await get(lies)).stdout, new RegExp(`"uuid":"${first.deviceId}"`))
  off()
  assert.deepEqual(
    steps.filter((step) => step.step === 39).map((step) => step.subject),
    [`server:${first.deviceId}`],
  )
  // without a router the network's own namespace answers
  control.routers = []
  control.networks = [dhcpNetwork(guests, { isolated: true })]
  await host.settle()
  await machine.netns.apply(nameOf(first), [{ do: 'set-route', to: '169.254.169.254', via: '10.1.0.2' }])
  assert.match((await get()).stdout, new RegExp(`"uuid":"${first.deviceId}"`))
  assert.ok((await machine.haproxy.list()).some((proxy) => proxy.id === NETWORK))
  await machine.netns.apply(nameOf(first), [{ do: 'delete-route', to: '169.254.169.254', via: '10.1.0.2' }])
  control.routers = [router()]
  control.networks = [dhcpNetwork(guests)]
  await host.settle()
})

/** Commands that change the machine, of those a run gave out. */
const CHANGING =
  /restore|-batch|ethtool -K|ovsdb:|(add|mod|del|replace)-flows?|bundle|arping|dnsmasq|haproxy|sysctl -q -w|netns (add|delete)|tc .*(replace|delete)/

test('a run with nothing to do gives out no changing command; another process takes over without a packet lost', async () => {
  const { commands } = await collecting(() => host.settle())
  assert.deepEqual(
    commands.map((command) => command.what).filter((what) => CHANGING.test(what)),
    [],
  )
  const opening = await collecting(() => rulesFor(second, [rule({ protocol: 'icmp' })]))
  assert.ok(
    opening.commands.some((command) => CHANGING.test(command.what)),
    'a run that has something to do is seen',
  )
  const pinging = exec('ping', ['-i', '0.02', '-c', '150', '-W', '1', '10.1.0.12'], { netns: nameOf(first), ok: [0, 1] })
  await host.stop()
  host = make()
  await host.start()
  await host.settle()
  assert.deepEqual(
    ['l2', 'dhcp', 'l3'].flatMap((part) => host.status()[part as 'l2'].lastChanges),
    [],
  )
  assert.match((await pinging).stdout, /150 packets transmitted, 150 received/)
})

test('after the switch was started again everything comes back by itself', async () => {
  const pid = (await exec('cat', ['/run/openvswitch/ovs-vswitchd.pid'])).stdout.trim()
  process.kill(Number(pid), 'SIGKILL')
  await until('the switch is gone', async () => (await exec('kill', ['-0', pid], { ok: [0, 1] })).code !== 0, 5_000)
  await ensureDaemons({ stateDir: folder, parts: ['openvswitch'] })
  await until('the guest reaches its gateway', () => answers(nameOf(first), '10.1.0.1'), 20_000)
  await until('the guest reaches the outside', () => answers(nameOf(first), '172.24.4.200'), 20_000)
  assert.equal((await lease(second)).ip, '10.1.0.12')
})

test('when nothing is asked for any more, nothing is left', async () => {
  for (const guest of guests) {
    await machine.netns.apply(undefined, [{ do: 'delete-link', name: tapOf(guest.portId) }])
    await unplug(machine, guest)
  }
  Object.assign(control, { devices: [], networks: [], routers: [], external: [] })
  await host.settle()
  const left = (await bus.call(networkTopic('one'), agent.audit, {})).filter((thing) => thing.owner !== null)
  assert.deepEqual(left, [])
  assert.deepEqual(
    (await machine.netns.namespaces()).filter((name) => name.startsWith('q')),
    [],
  )
  assert.ok(!(await machine.netns.namespaces()).includes(dhcpNamespace(NETWORK)))
  const { stdout } = await exec('ps', ['-eo', 'args'])
  assert.doesNotMatch(stdout, new RegExp(`(dnsmasq|haproxy).*${folder}`))
})
