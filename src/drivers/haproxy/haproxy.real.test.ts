import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { realNetNs } from '../netns/real.ts'
import { haproxyContract, type ProxyLab, proxyOf, ROUTER } from './contract.ts'
import { openToProxies, realHaProxy } from './real.ts'

before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
})

let made = 0

async function make(): Promise<ProxyLab> {
  const netns = realNetNs()
  const namespace = `qrouter-${process.pid}-${++made}`
  const folder = mkdtempSync(join(tmpdir(), 'haproxy-'))
  await exec('chmod', ['755', folder])
  await netns.ensureNamespace(namespace)
  return {
    haproxy: realHaProxy({ directory: join(folder, 'ns-metadata-proxy') }),
    namespace,
    socket: join(folder, 'metadata.sock'),
    again: () => realHaProxy({ directory: join(folder, 'ns-metadata-proxy') }),
    async done() {
      await netns.removeNamespace(namespace)
      rmSync(folder, { recursive: true })
    },
  }
}

haproxyContract(make)

test('a request arrives with the true address and router, whatever the guest wrote', async () => {
  const lab = await make()
  const seen: IncomingHttpHeaders[] = []
  const server = createServer((request, response) => {
    seen.push(request.headers)
    response.end(`you asked for ${request.url}`)
  })
  try {
    await new Promise<void>((resolve) => server.listen(lab.socket, resolve))
    openToProxies(lab.socket)
    await lab.haproxy.ensure(proxyOf(lab))
    const lies = [
      'X-Forwarded-For: 10.9.9.9',
      'X-Neutron-Router-ID: other',
      'X-Neutron-Network-ID: other',
      'X-Instance-ID: other',
      'X-Instance-ID-Signature: 0',
      'X-Tenant-ID: other',
    ]
    const get = `GET /openstack/latest/meta_data.json HTTP/1.0\r\n${lies.map((line) => `${line}\r\n`).join('')}X-Mine: stays\r\n\r\n`
    const { stdout } = await exec('busybox', ['nc', '127.0.0.1', '9697'], { netns: lab.namespace, input: get, timeoutMs: 5_000 })
    assert.match(stdout, /200 OK[\s\S]*you asked for \/openstack\/latest\/meta_data\.json$/)
    assert.equal(seen[0]?.['x-forwarded-for'], '127.0.0.1')
    assert.equal(seen[0]?.['x-neutron-router-id'], ROUTER)
    assert.equal(seen[0]?.['x-mine'], 'stays')
    for (const header of ['x-neutron-network-id', 'x-instance-id', 'x-instance-id-signature', 'x-tenant-id'])
      assert.equal(seen[0]?.[header], undefined, header)
  } finally {
    await lab.haproxy.stop(ROUTER)
    server.close()
    await lab.done()
  }
})
