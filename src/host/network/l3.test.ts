import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../drivers/daemon.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import type { RouterPort } from '../../network/rpc.ts'
import { furnish, onHost } from './agent-testing.ts'
import { qgOf, qrOf, routerNamespace } from './names.ts'
import { floatingIp, QG_PORT, QR_PORT, ROUTER, router } from './testing.ts'

test('a router routes, translates, announces and takes back', () =>
  onHost(async (lab) => {
    const [guest, other] = await furnish(lab)
    const namespace = routerNamespace(ROUTER)
    const rules = (await lab.machine.iptables.save(namespace, 4)).nat!
    assert.ok(rules['neutron-l3-agent-PREROUTING']!.rules.includes('-d 172.24.4.51/32 -j DNAT --to-destination 10.1.0.11'))
    assert.ok(rules['neutron-l3-agent-float-snat']!.rules.includes('-s 10.1.0.11/32 -j SNAT --to-source 172.24.4.51'))
    assert.ok(rules['neutron-l3-agent-snat']!.rules.includes(`-o ${qgOf(QG_PORT)} -j SNAT --to-source 172.24.4.10`))
    assert.deepEqual(await lab.machine.netns.sysctl(namespace, ['net.ipv4.ip_forward']), { 'net.ipv4.ip_forward': '1' })
    assert.ok(
      (await lab.machine.netns.routes(namespace, 4)).some(
        (route) => route.to === 'default' && route.via === '172.24.4.1' && route.dev === qgOf(QG_PORT),
      ),
    )
    assert.deepEqual(
      lab.machine.netns
        .announcements()
        .map((each) => each.address)
        .sort(),
      ['10.1.0.1', '172.24.4.10', '172.24.4.51'],
    )
    assert.equal(lab.machine.haproxy.proxy(ROUTER)?.namespace, namespace)
    const [ready] = lab.control.heard('router-ready').slice(-1)
    assert.equal(ready.floatingIps[0].status, 'ACTIVE')
    assert.equal(ready.floatingIps[0].rules.length, 3)

    lab.control.routers = [
      router({
        floatingIps: [floatingIp(2, other!)],
        enableSnat: false,
        routes: [{ destination: '192.168.7.0/24', nexthop: '10.1.0.12' }],
      }),
    ]
    await lab.host.settle()
    const after = (await lab.machine.iptables.save(namespace, 4)).nat!
    assert.deepEqual(after['neutron-l3-agent-snat']!.rules, ['-j neutron-l3-agent-float-snat'])
    assert.ok(!JSON.stringify(after).includes('172.24.4.51'))
    assert.ok(
      lab.machine.iptables
        .cuts()
        .some((each) => each.namespace === namespace && 'destination' in each.which && each.which.destination === '172.24.4.51'),
    )
    assert.ok((await lab.machine.netns.routes(namespace, 4)).some((route) => route.to === '192.168.7.0/24' && route.via === '10.1.0.12'))
    assert.ok(guest)
    const said = lab.control.heard('router-ready').length
    await lab.host.settle()
    assert.equal(lab.control.heard('router-ready').length, said, 'once is enough')
    lab.control.routers = [{ ...lab.control.routers[0]!, awaited: true }]
    await lab.host.settle()
    assert.ok(lab.control.heard('router-ready').length > said, 'unless control still waits for it')
    lab.control.routers = [router({ gateway: null, floatingIps: [] })]
    await lab.host.settle()
    assert.deepEqual(
      (await lab.machine.netns.links(namespace)).map((link) => link.name),
      ['lo', qrOf(QR_PORT)],
    )
    assert.ok(!(await lab.machine.netns.routes(namespace, 4)).some((route) => route.to === 'default'))
  }))

test('a route whose next hop is no neighbour any more waits until it is one', () =>
  onHost(async (lab) => {
    await furnish(lab)
    const namespace = routerNamespace(ROUTER)
    const routes = [
      { destination: '192.168.7.0/24', nexthop: '10.1.0.12' },
      { destination: '192.168.8.0/24', nexthop: '172.24.4.9' },
      { destination: '192.168.9.0/24', nexthop: '10.1.0.1' },
    ]
    const held = async () => (await lab.machine.netns.routes(namespace, 4)).flatMap(({ to, via }) => (via ? [`${to} ${via}`] : [])).sort()
    const way = ['192.168.7.0/24 10.1.0.12']
    const all = [...way, '192.168.8.0/24 172.24.4.9', 'default 172.24.4.1']
    lab.control.routers = [router({ routes })]
    await lab.host.settle()
    assert.deepEqual(await held(), all)
    lab.control.routers = [router({ routes, gateway: null })]
    await lab.host.settle()
    assert.deepEqual(await held(), way)
    lab.control.routers = [router({ routes })]
    await lab.host.settle()
    assert.deepEqual(await held(), all)
  }))

test('guests of an IPv6 network hear what they may call themselves, until there is nothing to tell', () =>
  onHost(async (lab) => {
    await furnish(lab)
    assert.equal(lab.machine.radv.advertisements(ROUTER), undefined)
    const [inside] = router().interfaces
    const six = { address: '2001:db8::1', prefixLength: 64, gateway: '2001:db8::1', subnetId: 'six' }
    const withSix = (advertised: RouterPort['addresses'][number]['advertised']) =>
      router({ interfaces: [{ ...inside!, addresses: [...inside!.addresses, { ...six, advertised }] }] })
    lab.control.routers = [withSix({ mode: 'slaac', dns: ['2001:db8::53'] })]
    await lab.host.settle()
    assert.deepEqual(lab.machine.radv.advertisements(ROUTER), {
      routerId: ROUTER,
      namespace: routerNamespace(ROUTER),
      links: [
        {
          interface: qrOf(QR_PORT),
          mtu: inside!.segment.mtu,
          prefixes: [{ cidr: '2001:db8::/64', mode: 'slaac', dns: ['2001:db8::53'] }],
        },
      ],
    })
    lab.control.routers = [withSix(null)]
    await lab.host.settle()
    assert.deepEqual(await lab.machine.radv.list(), [])
    lab.control.routers = [withSix({ mode: 'dhcpv6-stateless', dns: [] })]
    await lab.host.settle()
    assert.equal((await lab.machine.radv.list()).length, 1)
    lab.control.routers = []
    await lab.host.settle()
    assert.deepEqual(await lab.machine.radv.list(), [])
  }))

test('this machine is given its place on the external network, and gives it up', () =>
  onHost(async (lab) => {
    await furnish(lab)
    const outside = async () => (await lab.machine.netns.links()).find((link) => link.name === 'br-ex')!
    assert.deepEqual(
      [(await outside()).up, (await outside()).addresses.map((each) => `${each.address}/${each.prefix}`)],
      [true, ['172.24.4.1/24']],
    )
    assert.deepEqual((await lab.machine.iptables.save(undefined, 4)).nat?.['neutron-outside-POSTROUTING']?.rules, [
      '-s 172.24.4.0/24 ! -d 172.24.4.0/24 -m physdev ! --physdev-is-bridged -j MASQUERADE',
    ])
    lab.control.external = []
    await lab.host.settle()
    assert.equal((await lab.machine.iptables.save(undefined, 4)).nat?.['neutron-outside-POSTROUTING'], undefined)
    assert.deepEqual((await outside()).addresses, [])
  }))

test('the first connection that leaves translated lights step 42', () =>
  onHost(async (lab) => {
    const [guest] = await furnish(lab)
    const steps: StepRecord[] = []
    const off = onStep((step) => steps.push(step))
    const namespace = routerNamespace(ROUTER)
    lab.machine.iptables.translated(namespace, { source: '10.1.0.12', destination: '10.1.0.11', translatedTo: '172.24.4.10' })
    lab.machine.iptables.translated(namespace, { source: '172.24.4.9', destination: '10.1.0.11', translatedTo: '172.24.4.10' })
    for (let i = 0; i < 2; i++)
      lab.machine.iptables.translated(namespace, { source: '10.1.0.11', destination: '8.8.8.8', translatedTo: '172.24.4.51' })
    await until('it is seen', () => steps.length > 0, 5_000)
    off()
    assert.deepEqual(
      steps.map((step) => [step.subject, step.step, step.evidence.text]),
      [[`server:${guest!.deviceId}`, 42, '10.1.0.11 reached 8.8.8.8 as 172.24.4.51']],
    )
  }))
