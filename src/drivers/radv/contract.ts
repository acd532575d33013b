import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Advertisements, Radv } from './driver.ts'

export interface RadvLab {
  radv: Radv
  namespace: string
  /** As another process that takes over. */
  again(): Radv
  done(): Promise<void>
}

export const ROUTER = '22222222-aaaa-4bbb-8ccc-000000000001'

export const advertisementsOf = (lab: RadvLab): Advertisements => ({
  routerId: ROUTER,
  namespace: lab.namespace,
  links: [{ interface: 'qr0', mtu: 1450, prefixes: [{ cidr: '2001:db8::/64', mode: 'slaac', dns: ['2001:db8::53'] }] }],
})

/** What both the advertiser and its twin keep to. */
export function radvContract(make: () => Promise<RadvLab>): void {
  test('starts once, restarts for another prefix, is adopted, stops', async () => {
    const lab = await make()
    const { radv } = lab
    try {
      assert.equal(await radv.ensure(advertisementsOf(lab)), 'started')
      assert.equal(await radv.ensure(advertisementsOf(lab)), 'unchanged')
      const [first] = await radv.list()
      assert.equal(first?.routerId, ROUTER)
      assert.ok(first.pid)
      assert.equal(await lab.again().ensure(advertisementsOf(lab)), 'unchanged')
      const more = advertisementsOf(lab)
      more.links[0]!.prefixes.push({ cidr: '2001:db8:0:1::/64', mode: 'dhcpv6-stateful', dns: [] })
      assert.equal(await radv.ensure(more), 'restarted')
      assert.notEqual((await radv.list())[0]?.pid, first.pid)
      await radv.stop(ROUTER)
      await radv.stop(ROUTER)
      assert.deepEqual(await radv.list(), [])
    } finally {
      await radv.stop(ROUTER)
      await lab.done()
    }
  })

  test('an id, a device, an address that would be more than one word is refused', async () => {
    const lab = await make()
    const link = advertisementsOf(lab).links[0]!
    try {
      for (const wrong of [
        { routerId: '../x' },
        { routerId: 'a,b' },
        { links: [{ ...link, interface: 'qr0,qr1' }] },
        { links: [{ ...link, mtu: 1.5 }] },
        { links: [{ ...link, prefixes: [{ ...link.prefixes[0]!, dns: ['::1],x'] }] }] },
        { links: [{ ...link, prefixes: [{ ...link.prefixes[0]!, cidr: '2001:db8::,x/64' }] }] },
      ])
        await assert.rejects(lab.radv.ensure({ ...advertisementsOf(lab), ...wrong }), { status: 400 })
      assert.deepEqual(await lab.radv.list(), [])
    } finally {
      await lab.done()
    }
  })
}
