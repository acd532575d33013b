import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { notFound } from '../kernel/errors/errors.ts'
import type { Log } from '../kernel/log/log.ts'
import { ConsoleProxy } from './console.ts'

test('a page of another site gets no tunnel, and its token is not even looked at', async () => {
  const looked: string[] = []
  const proxy = new ConsoleProxy({
    log: {} as Log,
    async resolve(token) {
      looked.push(token)
      throw notFound('The console token is unknown or expired')
    },
  })
  const ask = (origin?: string) => {
    const headers = { host: 'cloud.example:8080', ...(origin === undefined ? {} : { origin }) }
    return proxy.upgrade({ url: '/console/websockify?token=stolen', headers } as IncomingMessage, undefined as never, Buffer.alloc(0))
  }
  for (const origin of ['http://evil.example', 'http://cloud.example:8081', 'http://cloud.example.evil.example:8080', 'null', 'file://'])
    await assert.rejects(ask(origin), { status: 403 }, origin)
  assert.deepEqual(looked, [])
  await assert.rejects(ask('http://cloud.example:8080'), { status: 401 }, 'a token that leads nowhere')
  await assert.rejects(ask(), { status: 401 }, 'what is no browser sends no origin')
  assert.deepEqual(looked, ['stolen', 'stolen'])
  proxy.close()
})
