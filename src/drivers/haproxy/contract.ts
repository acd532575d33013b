import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HaProxy, MetadataProxy } from './driver.ts'

export interface ProxyLab {
  haproxy: HaProxy
  namespace: string
  socket: string
  again(): HaProxy
  done(): Promise<void>
}

export const ROUTER = '22222222-aaaa-4bbb-8ccc-000000000001'

export const proxyOf = (lab: ProxyLab): MetadataProxy => ({
  kind: 'router',
  id: ROUTER,
  namespace: lab.namespace,
  listen: [{ address: '0.0.0.0', port: 9697 }],
  socket: lab.socket,
})

/** What both haproxy and its twin keep to. */
export function haproxyContract(make: () => Promise<ProxyLab>): void {
  test('starts once, restarts for another configuration, is adopted, stops', async () => {
    const lab = await make()
    const { haproxy } = lab
    try {
      assert.equal(await haproxy.ensure(proxyOf(lab)), 'started')
      assert.equal(await haproxy.ensure(proxyOf(lab)), 'unchanged')
      const [first] = await haproxy.list()
      assert.equal(first?.id, ROUTER)
      assert.ok(first.pid)
      assert.equal(await lab.again().ensure(proxyOf(lab)), 'unchanged')
      assert.equal(await haproxy.ensure({ ...proxyOf(lab), listen: [{ address: '127.0.0.1', port: 9697 }] }), 'restarted')
      assert.notEqual((await haproxy.list())[0]?.pid, first.pid)
      await haproxy.stop(ROUTER)
      await haproxy.stop(ROUTER)
      assert.deepEqual(await haproxy.list(), [])
    } finally {
      await haproxy.stop(ROUTER)
      await lab.done()
    }
  })

  test('an id, address or path that would be more than one word is refused', async () => {
    const lab = await make()
    try {
      for (const wrong of [
        { id: 'a\n  server x 10.0.0.1' },
        { id: '../x' },
        { socket: '/tmp/a b' },
        { listen: [{ address: '0.0.0.0', port: 0 }] },
        { listen: [{ address: '0.0.0.0\nglobal', port: 80 }] },
      ])
        await assert.rejects(lab.haproxy.ensure({ ...proxyOf(lab), ...wrong }), { status: 400 })
      assert.deepEqual(await lab.haproxy.list(), [])
    } finally {
      await lab.done()
    }
  })
}
