import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Link, NetNs } from './driver.ts'

/** What both the kernel and its twin keep to. `tag` makes the names of this run its own. */
export function netnsContract(make: () => NetNs, tag: string): void {
  const a = `ns-a-${tag}`
  const b = `ns-b-${tag}`
  const shaped = (link: Link | undefined) =>
    link && {
      kind: link.kind,
      mac: link.mac,
      mtu: link.mtu,
      up: link.up,
      promisc: link.promisc,
      master: link.master,
      addresses: link.addresses.filter((each) => !each.address.startsWith('fe80:')),
    }

  async function fresh(): Promise<NetNs> {
    const netns = make()
    for (const name of [a, b]) await netns.removeNamespace(name)
    for (const name of [a, b]) assert.equal(await netns.ensureNamespace(name), true)
    return netns
  }

  test('a namespace is made once, listed, and removed with what is in it', async () => {
    const netns = await fresh()
    assert.equal(await netns.ensureNamespace(a), false)
    assert.ok((await netns.namespaces()).includes(a))
    assert.deepEqual(
      (await netns.links(a)).map((link) => [link.name, link.kind, link.up]),
      [['lo', 'loopback', true]],
    )
    await netns.apply(a, [{ do: 'add-veth', name: 'v0', peer: 'v1', peerNamespace: b }])
    await netns.removeNamespace(a)
    await netns.removeNamespace(a)
    assert.ok(!(await netns.namespaces()).includes(a))
    const gone = async () => !(await netns.links(b)).some((link) => link.name === 'v1') // the kernel ends a namespace a moment later
    for (let i = 0; i < 100 && !(await gone()); i++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.ok(await gone(), 'the other end of the pair goes too')
    await assert.rejects(netns.links(a), { status: 404, code: 'NoSuchNamespace' })
    await assert.rejects(netns.apply(a, [{ do: 'add-bridge', name: 'x' }]), { code: 'NoSuchNamespace' })
  })

  test('the hybrid plug: bridge, veth pair, master, promiscuous, mtu, mac', async () => {
    const netns = await fresh()
    await netns.apply(a, [
      { do: 'add-bridge', name: 'qbr3f2a90c1-7e' },
      { do: 'set-bridge', name: 'qbr3f2a90c1-7e', forwardDelay: 0, ageing: 0, stp: false, multicastSnooping: false },
      { do: 'add-veth', name: 'qvb3f2a90c1-7e', peer: 'qvo3f2a90c1-7e' },
      { do: 'set-link', name: 'qvb3f2a90c1-7e', mac: 'FA:16:3E:00:00:01', mtu: 1450, promisc: true, master: 'qbr3f2a90c1-7e', up: true },
      { do: 'set-link', name: 'qbr3f2a90c1-7e', up: true },
    ])
    const links = await netns.links(a)
    assert.deepEqual(shaped(links.find((link) => link.name === 'qvb3f2a90c1-7e')), {
      kind: 'veth',
      mac: 'fa:16:3e:00:00:01',
      mtu: 1450,
      up: true,
      promisc: true,
      master: 'qbr3f2a90c1-7e',
      addresses: [],
    })
    assert.equal(links.find((link) => link.name === 'qbr3f2a90c1-7e')?.kind, 'bridge')
    assert.equal(links.find((link) => link.name === 'qvo3f2a90c1-7e')?.up, false)
    await netns.apply(a, [{ do: 'set-link', name: 'qvb3f2a90c1-7e', master: null }])
    assert.equal((await netns.links(a)).find((link) => link.name === 'qvb3f2a90c1-7e')?.master, undefined)
    await netns.apply(a, [{ do: 'delete-link', name: 'qvo3f2a90c1-7e' }])
    assert.deepEqual(
      (await netns.links(a)).map((link) => link.name),
      ['lo', 'qbr3f2a90c1-7e'],
    )
  })

  test('addresses and routes; setting again changes nothing', async () => {
    const netns = await fresh()
    const wire = [
      { do: 'add-veth', name: 'e0', peer: 'e1', peerNamespace: b },
      { do: 'set-link', name: 'e0', up: true },
    ] as const
    await netns.apply(a, [...wire])
    await netns.apply(b, [{ do: 'set-link', name: 'e1', up: true }])
    for (let again = 0; again < 2; again++)
      await netns.apply(a, [
        { do: 'set-address', dev: 'e0', cidr: '10.1.0.1/24' },
        { do: 'set-address', dev: 'e0', cidr: '172.24.4.50/32' },
        { do: 'set-address', dev: 'e0', cidr: 'fd00:1::1/64' },
        { do: 'set-route', to: 'default', via: '10.1.0.254' },
        { do: 'set-route', to: '192.168.7.0/24', via: '10.1.0.3' },
        { do: 'set-route', to: '192.168.8.1/32', dev: 'e0' },
        { do: 'set-route', to: 'default', via: 'fd00:1::ff' },
      ])
    assert.deepEqual(shaped((await netns.links(a)).find((link) => link.name === 'e0'))?.addresses, [
      { family: 4, address: '10.1.0.1', prefix: 24 },
      { family: 4, address: '172.24.4.50', prefix: 32 },
      { family: 6, address: 'fd00:1::1', prefix: 64 },
    ])
    const four = (await netns.routes(a, 4)).map(({ to, via, dev, protocol }) => `${to} ${via ?? '-'} ${dev} ${protocol}`).sort()
    assert.deepEqual(four, [
      '10.1.0.0/24 - e0 kernel',
      '192.168.7.0/24 10.1.0.3 e0 boot',
      '192.168.8.1 - e0 boot',
      'default 10.1.0.254 e0 boot',
    ])
    assert.ok((await netns.routes(a, 6)).some((route) => route.to === 'default' && route.via === 'fd00:1::ff'))
    await netns.apply(a, [
      { do: 'delete-route', to: '192.168.7.0/24', via: '10.1.0.3' },
      { do: 'delete-address', dev: 'e0', cidr: '172.24.4.50/32' },
    ])
    assert.deepEqual(
      (await netns.links(a))
        .find((link) => link.name === 'e0')
        ?.addresses.filter((each) => each.family === 4)
        .map((each) => each.address),
      ['10.1.0.1'],
    )
    await assert.rejects(netns.apply(a, [{ do: 'delete-route', to: '192.168.7.0/24', via: '10.1.0.3' }]), { code: 'NoSuchEntry' })
    await assert.rejects(netns.apply(a, [{ do: 'delete-address', dev: 'e0', cidr: '172.24.4.50/32' }]), { code: 'NoSuchEntry' })
    await assert.rejects(netns.apply(a, [{ do: 'set-route', to: '10.9.0.0/16', via: '10.77.0.1' }]), { code: 'UnreachableGateway' })
  })

  test('a device that is moved loses its addresses and is down', async () => {
    const netns = await fresh()
    await netns.apply(a, [
      { do: 'add-veth', name: 'm0', peer: 'm1' },
      { do: 'set-address', dev: 'm0', cidr: '10.2.0.1/24' },
      { do: 'set-link', name: 'm0', up: true, namespace: b },
    ])
    assert.ok(!(await netns.links(a)).some((link) => link.name === 'm0'))
    const moved = (await netns.links(b)).find((link) => link.name === 'm0')
    assert.deepEqual([moved?.up, moved?.addresses.length], [false, 0])
  })

  test('a batch stops at the change that is refused and says which it was', async () => {
    const netns = await fresh()
    await assert.rejects(
      netns.apply(a, [
        { do: 'add-bridge', name: 'one' },
        { do: 'set-link', name: 'nothing', up: true },
        { do: 'add-bridge', name: 'two' },
      ]),
      { status: 404, code: 'NoSuchLink', message: /"name":"nothing"/ },
    )
    assert.deepEqual(
      (await netns.links(a)).map((link) => link.name),
      ['lo', 'one'],
    )
    await assert.rejects(netns.apply(a, [{ do: 'add-bridge', name: 'one' }]), { status: 409, code: 'LinkExists' })
    await assert.rejects(netns.apply(a, [{ do: 'delete-link', name: 'nothing' }]), { code: 'NoSuchLink' })
  })

  test('a word that would be another command is refused before anything runs', async () => {
    const netns = await fresh()
    for (const name of ['x y', 'x\nlink delete lo', '', 'a-name-that-is-too-long', '../etc', '-all'])
      await assert.rejects(netns.apply(a, [{ do: 'add-bridge', name }]), { status: 400, code: 'BadName' })
    await assert.rejects(
      netns.apply(a, [
        { do: 'add-bridge', name: 'ok' },
        { do: 'set-address', dev: 'ok', cidr: '10.0.0.1/33' },
      ]),
      { code: 'BadAddress' },
    )
    await assert.rejects(netns.apply(a, [{ do: 'set-address', dev: 'lo', cidr: '10.0.0.1/24 dev eth0' }]), { code: 'BadAddress' })
    await assert.rejects(netns.apply(a, [{ do: 'add-bridge', name: 'ok', mac: 'fa:16:3e:00:00' }]), { code: 'BadAddress' })
    await assert.rejects(netns.ensureNamespace('../x'), { code: 'BadName' })
  })

  test('sysctls belong to the namespace; unknown ones are left out', async () => {
    const netns = await fresh()
    await netns.setSysctl(a, { 'net.ipv4.ip_forward': 1 })
    await netns.setSysctl(b, { 'net.ipv4.ip_forward': 0 }) // a new one begins as the machine's own is
    assert.deepEqual(await netns.sysctl(a, ['net.ipv4.ip_forward', 'net.ipv4.no_such_thing']), { 'net.ipv4.ip_forward': '1' })
    assert.deepEqual(await netns.sysctl(b, ['net.ipv4.ip_forward']), { 'net.ipv4.ip_forward': '0' })
    await assert.rejects(netns.sysctl(a, ['net.ipv4.ip_forward -w kernel.panic=1']), { code: 'BadName' })
  })

  test('checksum offload, limits, neighbours, announcements', async () => {
    const netns = await fresh()
    await netns.apply(a, [
      { do: 'add-veth', name: 's0', peer: 's1', peerNamespace: b },
      { do: 'set-link', name: 's0', up: true },
      { do: 'set-address', dev: 's0', cidr: '10.3.0.1/24' },
    ])
    assert.equal(await netns.checksumOffload(a, 's0'), true)
    await netns.setChecksumOffload(a, 's0', false)
    assert.equal(await netns.checksumOffload(a, 's0'), false)
    await assert.rejects(netns.checksumOffload(a, 'nothing'), { code: 'NoSuchLink' })

    assert.equal(await netns.shape(a, 's0'), undefined)
    await netns.setShape(a, 's0', { kind: 'htb', rate: 8000, ceil: 10_000, burst: 800 })
    assert.deepEqual(await netns.shape(a, 's0'), { kind: 'htb', rate: 8000, ceil: 10_000, burst: 800 })
    await netns.setShape(a, 's0', { kind: 'htb', rate: 4000 })
    assert.deepEqual(await netns.shape(a, 's0'), { kind: 'htb', rate: 4000, ceil: 4000, burst: 400 })
    await netns.setShape(a, 's0', undefined)
    await netns.setShape(a, 's0', undefined)
    await netns.setShape(a, 's0', { kind: 'tbf', rate: 8000, burst: 800 })
    assert.deepEqual(await netns.shape(a, 's0'), { kind: 'tbf', rate: 8000, burst: 800 })
    await assert.rejects(netns.setShape(a, 's0', { kind: 'htb', rate: 0 }), { code: 'BadRate' })
    await assert.rejects(netns.setShape(a, 'nothing', { kind: 'htb', rate: 100 }), { code: 'NoSuchLink' })

    await netns.apply(a, [{ do: 'set-neighbour', dev: 's0', address: '10.3.0.9', mac: 'fa:16:3e:00:00:09' }])
    assert.deepEqual(await netns.neighbours(a, 's0'), [{ address: '10.3.0.9', mac: 'fa:16:3e:00:00:09', dev: 's0', state: 'PERMANENT' }])
    await netns.announce(a, 's0', '10.3.0.1')
  })
}
