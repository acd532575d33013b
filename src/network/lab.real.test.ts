import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from '../drivers/daemon.ts'
import { createLab, type Lab } from '../host/machine/lab.ts'
import { guestOf, type LabAgents, labAgents } from '../host/network/lab-testing.ts'
import { control, type DeviceDetails, NETWORK_CONTROL } from './rpc.ts'
import { type NetworkHouse, networkHouse } from './testing.ts'

/** Two hosts of a lab with their agents, and the real control: only the guests are namespaces. */
let folder: string
let lab: Lab
let house: NetworkHouse
let agents: LabAgents[]

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  folder = mkdtempSync(join(tmpdir(), 'lab-network-'))
  lab = await createLab({ parent: join(folder, 'labs'), count: 2 })
  house = await networkHouse()
  agents = await Promise.all(lab.hosts.map((host) => labAgents(house.bus, host)))
})

after(async () => {
  for (const one of agents ?? []) one.kill()
  await lab?.destroy()
  await house?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A guest on each host, on a network of their own; they are in their project's default group, which lets its members in and nobody else. */
async function pair(cidr: string, provider: object): Promise<[DeviceDetails, DeviceDetails]> {
  const { network } = await house.network(cidr, 'admin', provider)
  const made = await Promise.all(lab.hosts.map(({ name }, i) => guestOn(network.id, i, name)))
  return made as [DeviceDetails, DeviceDetails]
}

async function guestOn(network_id: string, index: number, host: string): Promise<DeviceDetails> {
  const port = await house.make('/ports', 'port', {
    network_id,
    device_id: `server-${index}`,
    device_owner: 'compute:nova',
    'binding:host_id': host,
  })
  const [details] = await house.bus.call(NETWORK_CONTROL, control.deviceDetails, { host, portIds: [port.id] })
  await agents[index]!.plug(details!)
  await until(`port of server-${index} is ACTIVE`, async () => (await house.client.port(port.id)).status === 'ACTIVE', 20_000)
  return details!
}

const inside = (index: number, guest: DeviceDetails, program: string, args: string[]) =>
  lab.hosts[index]!.machine.run('ip', ['netns', 'exec', guestOf(guest), program, ...args], { ok: [0, 1, 2], timeoutMs: 30_000 })
const ping = async (index: number, guest: DeviceDetails, to: DeviceDetails) =>
  (await inside(index, guest, 'ping', ['-c', '1', '-W', '1', to.fixedIps[0]!.address])).code === 0
const flowsOf = async (index: number) =>
  (await lab.hosts[index]!.machine.run('ovs-ofctl', ['--names', 'dump-flows', 'br-tun'])).stdout.split('\n').map((line) =>
    line
      .trim()
      .replace(/cookie=\S+ duration=\S+ /, '')
      .replace(/n_packets=\S+ n_bytes=\S+ (idle_age=\S+ )?/, ''),
  )

const MEBIBYTES = 20
async function sends(from: DeviceDetails, to: DeviceDetails): Promise<number> {
  // a listener whose own input has ended would end the connection
  const received = inside(1, to, 'bash', ['-c', 'timeout 20 busybox nc -l -p 8000 < <(sleep 20 2> /dev/null) | wc -c'])
  await until('somebody listens', async () => (await inside(1, to, 'ss', ['-Hltn', 'sport = 8000'])).stdout.includes(':8000'), 5_000)
  const started = performance.now()
  await inside(0, from, 'sh', ['-c', `head -c ${MEBIBYTES}M /dev/zero | timeout 20 busybox nc ${to.fixedIps[0]!.address} 8000`])
  assert.equal(Number((await received).stdout), MEBIBYTES * 2 ** 20)
  return MEBIBYTES / ((performance.now() - started) / 1000)
}

for (const [type, cidr, table] of [
  ['vxlan', '10.1.0.0/24', 4],
  ['gre', '10.2.0.0/24', 3],
] as const)
  test(`guests on two hosts meet over ${type}; who is where is known before they ask`, async (t) => {
    const [first, second] = await pair(cidr, { 'provider:network_type': type })
    await until('they meet', () => ping(0, first, second), 10_000)
    t.diagnostic(`TCP over ${type}: ${(await sends(first, second)).toFixed(0)} MiB/s`)
    const flows = await flowsOf(0)
    const tunnel = `${type}-c6123202`
    const ofport = (await lab.hosts[0]!.machine.run('ovs-vsctl', ['get', 'Interface', tunnel, 'ofport'])).stdout.trim()
    const vlan = (await agents[0]!.status()).l2.localVlans[first.segment.networkId]
    const id = `0x${first.segment.segmentationId!.toString(16)}`
    const has = (pattern: RegExp) =>
      assert.ok(
        flows.some((line) => pattern.test(line)),
        `${pattern}\n${flows.join('\n')}`,
      )
    has(/^table=0, .*in_port="?patch-int"? actions=resubmit\(,2\)/)
    has(new RegExp(`^table=0, .*in_port="?${tunnel}"? actions=resubmit\\(,${table}\\)`))
    has(new RegExp(`^table=${table}, .*tun_id=${id} actions=mod_vlan_vid:${vlan},resubmit\\(,10\\)`))
    has(/^table=10, .*actions=learn\(table=20,/)
    has(new RegExp(`^table=20, .*dl_vlan=${vlan},dl_dst=${second.macAddress} actions=strip_vlan,.*output:("?${tunnel}"?|${ofport})`))
    has(new RegExp(`^table=21, .*arp,dl_vlan=${vlan},arp_tpa=${second.fixedIps[0]!.address} `))
    has(new RegExp(`^table=22, .*dl_vlan=${vlan} actions=strip_vlan`))
  })

test('a network that only one host has is flooded nowhere', async () => {
  const { network } = await house.network('10.3.0.0/24')
  // its address service is on the first host
  const alone = await guestOn(network.id, 0, 'node1')
  const vlan = (await agents[0]!.status()).l2.localVlans[alone.segment.networkId]
  await until('the flows are settled', async () => (await agents[0]!.status()).l2.lastError === null, 5_000)
  const servers = await house.client.ports({ network_id: network.id, device_owner: 'network:dhcp' })
  const elsewhere = servers.some((server) => server['binding:host_id'] !== 'node1')
  assert.equal(
    (await flowsOf(0)).some((line) => line.startsWith('table=22') && line.includes(`dl_vlan=${vlan} `)),
    elsewhere,
  )
})

test('guests on two hosts meet over VLAN on the provider’s network; other groups are kept out on every host', async () => {
  const vlan = { 'provider:network_type': 'vlan', 'provider:physical_network': 'public', 'provider:segmentation_id': 77 }
  const [first, second] = await pair('10.4.0.0/24', vlan)
  await until('they meet', () => ping(0, first, second), 10_000)
  const group = await house.make('/security-groups', 'security_group', { name: 'others' })
  await house.client.updatePort(first.portId, { security_groups: [group.id] })
  await until('the second no longer lets the first in', async () => !(await ping(0, first, second)), 10_000)
})

test('a port that moves to another host is followed', async () => {
  const [first, second] = await pair('10.5.0.0/24', {})
  await until('they meet', () => ping(0, first, second), 10_000)
  await agents[1]!.unplug(second)
  await house.client.updatePort(second.portId, { 'binding:host_id': 'node1' })
  await agents[0]!.plug({ ...second, host: 'node1' })
  await until('it is ACTIVE there', async () => (await house.client.port(second.portId)).status === 'ACTIVE', 20_000)
  await until('they meet on one host', () => ping(0, first, second), 10_000)
  assert.ok(
    !(await flowsOf(0)).some((line) => line.startsWith('table=20') && line.includes(second.macAddress) && line.includes('priority=2')),
  )
})

test('the host of a router loses its power: the floating IP answers again within 10 s from the other host', async (t) => {
  const { network: outside } = await house.outside()
  const { network, subnet } = await house.network('10.6.0.0/24')
  const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.id } })
  await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { subnet_id: subnet.id } })
  const at = async () => (await house.request('GET', `/routers/${router.id}/l3-agents`)).body.agents[0].host
  const lost = lab.hosts.findIndex((host) => host.name === 'node1')
  if ((await at()) !== 'node1') {
    const agentOn = async (host: string) =>
      (await house.request('GET', `/agents?host=${host}&agent_type=${encodeURIComponent('L3 agent')}`)).body.agents[0]
    await house.request('DELETE', `/agents/${(await agentOn('node2')).id}/l3-routers/${router.id}`)
    await house.request('POST', `/agents/${(await agentOn('node1')).id}/l3-routers`, { body: { router_id: router.id } })
  }
  const guest = await guestOn(network.id, 1, 'node2')
  // the world may ping
  const group = (await house.request('GET', '/security-groups?name=default')).body.security_groups.find((one: any) =>
    guest.securityGroups.includes(one.id),
  )
  await house.make('/security-group-rules', 'security_group_rule', { security_group_id: group.id, direction: 'ingress', protocol: 'icmp' })
  const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.id, port_id: guest.portId })
  const answers = async () =>
    (await lab.outside.run('ping', ['-c', '1', '-W', '1', floating.floating_ip_address], { ok: [0, 1, 2] })).code === 0
  await until('it answers from node1, across the tunnel', answers, 20_000)
  const begun = performance.now()
  await lab.hosts[lost]!.powerOff()
  await until('it answers from node2', answers, 20_000)
  const ms = performance.now() - begun
  t.diagnostic(`without an answer for ${(ms / 1000).toFixed(1)} s`)
  assert.equal(await at(), 'node2')
  assert.ok(ms < 10_000, `${ms} ms`)
  // it comes back and keeps nothing of what is no longer its own
  await lab.hosts[lost]!.powerOn()
  agents[lost] = await labAgents(house.bus, lab.hosts[lost]!)
  await until('its agents are done', async () => (await agents[lost]!.status()).l3.runs > 0, 10_000)
  assert.deepEqual((await agents[lost]!.status()).l3.routers, [])
  assert.equal(await answers(), true)
})
