import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../daemon.ts'
import type { DhcpEvent, DhcpService, Dnsmasq } from './driver.ts'

export interface DhcpLab {
  dnsmasq: Dnsmasq
  namespace: string
  /** Has 10.1.0.2/24. */
  interface: string
  /** What a guest with this MAC is given; undefined when nobody answers it. */
  ask(mac: string): Promise<string | undefined>
  /** As another process that takes over. */
  again(): Dnsmasq
  done(): Promise<void>
}

export const NETWORK = '11111111-aaaa-4bbb-8ccc-000000000001'

/** What both dnsmasq and its twin keep to. */
export function dnsmasqContract(make: () => Promise<DhcpLab>): void {
  const inLab = (name: string, body: (lab: DhcpLab) => Promise<void>) =>
    test(name, async () => {
      const lab = await make()
      try {
        await body(lab)
      } finally {
        for (const { networkId } of await lab.dnsmasq.list()) await lab.dnsmasq.stop(networkId)
        await lab.dnsmasq.close()
        await lab.done()
      }
    })

  const host = (n: number, mac = `fa:16:3e:00:03:0${n}`) => ({
    portId: `33333333-aaaa-4bbb-8ccc-00000000000${n}`,
    mac,
    name: `host-10-1-0-1${n}`,
    addresses: [`10.1.0.1${n}`],
  })
  const service = (lab: DhcpLab, ...hosts: DhcpService['hosts']): DhcpService => ({
    networkId: NETWORK,
    namespace: lab.namespace,
    interface: lab.interface,
    domain: 'openstacklocal',
    subnets: [{ id: 'subnet-1', cidr: '10.1.0.0/24' }],
    hosts,
    options: [
      { for: { subnetId: 'subnet-1' }, family: 4, option: 'router', values: ['10.1.0.1'] },
      { for: { subnetId: 'subnet-1' }, family: 4, option: 'dns-server', values: ['10.1.0.2'] },
    ],
    upstreamDns: [],
    mtu: 1450,
  })

  inLab('starts once, reloads for a host, restarts for a range, stops', async (lab) => {
    const { dnsmasq } = lab
    assert.equal(await dnsmasq.ensure(service(lab, host(1))), 'started')
    const [first] = await dnsmasq.list()
    assert.ok(first?.pid)
    assert.equal(await dnsmasq.ensure(service(lab, host(1))), 'unchanged')
    assert.equal(await dnsmasq.ensure(service(lab, host(1), host(2))), 'reloaded')
    assert.equal((await dnsmasq.list())[0]?.pid, first.pid)
    const wider = service(lab, host(1), host(2))
    wider.subnets.push({ id: 'subnet-2', cidr: '10.2.0.0/24' })
    assert.equal(await dnsmasq.ensure(wider), 'restarted')
    assert.notEqual((await dnsmasq.list())[0]?.pid, first.pid)
    await dnsmasq.stop(NETWORK)
    await dnsmasq.stop(NETWORK)
    assert.deepEqual(await dnsmasq.list(), [])
  })

  inLab('answers those in the host file and nobody else; the lease and the log tell', async (lab) => {
    const { dnsmasq } = lab
    const events: DhcpEvent[] = []
    dnsmasq.follow((event) => events.push(event))
    await dnsmasq.ensure(service(lab, host(1)))
    assert.equal(await lab.ask('fa:16:3e:00:03:02'), undefined)
    await dnsmasq.ensure(service(lab, host(1), host(2)))
    assert.equal(await lab.ask('fa:16:3e:00:03:02'), '10.1.0.12', 'known as soon as the reload has returned')
    await until('the acknowledgement is heard', () => events.some((event) => event.kind === 'DHCPACK'), 2_000)
    const ack = events.find((event) => event.kind === 'DHCPACK')
    assert.deepEqual([ack?.networkId, ack?.mac, ack?.address], [NETWORK, 'fa:16:3e:00:03:02', '10.1.0.12'])
    assert.match(ack?.line ?? '', /DHCPACK/)
    assert.ok(events.some((event) => event.kind === 'DHCPDISCOVER' && event.mac === 'fa:16:3e:00:03:02'))
    const [lease] = await dnsmasq.leases(NETWORK)
    assert.deepEqual([lease?.mac, lease?.address, lease?.name], ['fa:16:3e:00:03:02', '10.1.0.12', 'host-10-1-0-12'])
    assert.ok(Math.abs(lease!.expiresAt - Date.now() / 1000 - 86_400) < 60)
  })

  inLab('an address that passes to another port is given to it although its lease runs', async (lab) => {
    const { dnsmasq } = lab
    await dnsmasq.ensure(service(lab, host(1)))
    assert.equal(await lab.ask('fa:16:3e:00:03:01'), '10.1.0.11')
    const heir = { ...host(1, 'fa:16:3e:00:03:09'), portId: '33333333-aaaa-4bbb-8ccc-000000000009' }
    assert.equal(await dnsmasq.ensure(service(lab, heir)), 'restarted')
    assert.equal(await lab.ask('fa:16:3e:00:03:09'), '10.1.0.11')
    assert.deepEqual(
      (await dnsmasq.leases(NETWORK)).map((lease) => lease.mac),
      ['fa:16:3e:00:03:09'],
    )
  })

  inLab('another process adopts the server and hears only what is new', async (lab) => {
    const { dnsmasq } = lab
    const heard: DhcpEvent[] = []
    dnsmasq.follow((event) => heard.push(event))
    await dnsmasq.ensure(service(lab, host(1), host(2)))
    await lab.ask('fa:16:3e:00:03:01')
    await until('it is heard', () => heard.some((event) => event.kind === 'DHCPACK'), 2_000)
    const [before] = await dnsmasq.list()
    await dnsmasq.close()
    const heir = lab.again()
    const events: DhcpEvent[] = []
    heir.follow((event) => events.push(event))
    assert.equal(await heir.ensure(service(lab, host(1), host(2))), 'unchanged')
    assert.equal((await heir.list())[0]?.pid, before?.pid)
    await lab.ask('fa:16:3e:00:03:02')
    await until('the second is heard', () => events.some((event) => event.kind === 'DHCPACK'), 2_000)
    assert.deepEqual(
      events.filter((event) => event.kind === 'DHCPACK').map((event) => event.address),
      ['10.1.0.12'],
    )
    await heir.close()
  })

  inLab('a name, an id, an option that would be more than one word is refused and nothing is written', async (lab) => {
    const refused = { status: 400, code: 'BadDhcpEntry' }
    const { dnsmasq } = lab
    for (const name of ['a,10.1.0.99', 'a\nfa:16:3e:00:00:01', '-a', '', 'a b', 'a'.repeat(64)])
      await assert.rejects(dnsmasq.ensure(service(lab, { ...host(1), name })), refused)
    for (const portId of ['../../etc/cron.d/x', 'a,b', ''])
      await assert.rejects(
        dnsmasq.ensure({
          ...service(lab, { ...host(1), portId }),
          options: [{ for: { portId }, family: 4, option: 'mtu', values: ['1450'] }],
        }),
        refused,
      )
    for (const networkId of ['..', '../x', 'a/b']) await assert.rejects(dnsmasq.ensure({ ...service(lab), networkId }), refused)
    for (const [option, value] of [
      ['bootfile-name', 'x\ndhcp-script=/bin/sh'],
      ['bootfile-name', `${'x'.repeat(990)}tag:subnet-2,option:router,10.1.0.66`],
      ['boot file', 'x'],
      ['bootfile-name', 'a"b'],
      ['bootfile-name', 'a\\b'],
      ['option:x', 'y'],
      ['mtu\n', '1'],
    ] as const)
      await assert.rejects(
        dnsmasq.ensure({ ...service(lab), options: [{ for: { subnetId: 'subnet-1' }, family: 4, option, values: [value] }] }),
        refused,
      )
    await assert.rejects(dnsmasq.ensure({ ...service(lab), domain: 'x --dhcp-script=/bin/sh' }), refused)
    await assert.rejects(dnsmasq.ensure(service(lab, { ...host(1), mac: 'fa:16:3e:00:03:01,x' })), { status: 400 })
    await assert.rejects(dnsmasq.ensure({ ...service(lab), interface: 'a b' }), { status: 400 })
    assert.deepEqual(await dnsmasq.list(), [])
  })
}
