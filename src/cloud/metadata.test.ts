import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify from 'fastify'
import type { MetadataRequest } from '../host/network/metadata/server.ts'
import { overNetwork } from '../kernel/http/client.ts'
import { metadataOver, serveMetadata } from './metadata.ts'

test('what a guest asks or posts on a host comes to control as it is', async () => {
  const control = Fastify()
  const seen: MetadataRequest[] = []
  serveMetadata(control, async (request) => {
    seen.push(request)
    return { status: 200, headers: { 'content-type': 'text/plain' }, body: `${request.method} ${request.path}` }
  })
  const ask = metadataOver(overNetwork(await control.listen({ host: '127.0.0.1', port: 0 })))
  for (const [method, type, sent] of [
    ['GET', undefined, ''],
    ['POST', 'application/x-www-form-urlencoded', 'c2VjcmV0'],
    ['POST', undefined, 'c2VjcmV0'],
  ] as const) {
    const headers = { 'x-instance-id': 'one', ...(type ? { 'content-type': type } : {}) }
    const answer = await ask({ method, path: '/openstack/latest/password', headers, body: Buffer.from(sent) })
    assert.deepEqual([answer.status, answer.body.toString()], [200, `${method} /openstack/latest/password`])
    const came = seen.at(-1)!
    assert.deepEqual([came.method, came.headers['x-instance-id'], Buffer.from(came.body).toString()], [method, 'one', sent])
  }
  await control.close()
})
