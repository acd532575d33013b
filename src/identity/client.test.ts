import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inMemory, type RestTransport } from '../kernel/http/client.ts'
import { ServiceSession, TokenAuthenticator } from './client.ts'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from './testing.ts'

let house: IdentityHouse
let transport: RestTransport
let asked = 0
before(async () => {
  house = await identityHouse()
  const plain = inMemory(house.server.server.edge)
  transport = {
    ...plain,
    send(request) {
      asked++
      return plain.send(request)
    },
  }
})
after(() => house.close())

const nova = { username: 'nova', password: PASSWORDS.service, projectName: 'service' }

describe('how other services use identity', () => {
  test('a session asks once for many callers, and again when told to forget', async () => {
    const session = new ServiceSession(transport, nova)
    asked = 0
    const tokens = await Promise.all([session.token(), session.token(), session.token()])
    assert.equal(new Set([...tokens, await session.token()]).size, 1)
    assert.equal(asked, 1)
    session.forget()
    assert.notEqual(await session.token(), tokens[0])
  })

  test('a wrong service password is told by name, and tried again', async () => {
    const session = new ServiceSession(transport, { ...nova, password: 'wrong' })
    for (let i = 0; i < 2; i++) await assert.rejects(session.token(), { status: 503, code: 'ServiceLogin', message: /nova/ })
  })

  test('the authenticator says over HTTP what identity says itself, and remembers it', async () => {
    const authenticator = new TokenAuthenticator(transport, new ServiceSession(transport, nova))
    const demo = { name: 'demo', password: PASSWORDS.demo }
    for (const scope of [onProject('demo'), 'unscoped']) {
      const token = await house.token({ ...demo, scope })
      const far = await authenticator.validate(token)
      const near = await house.service.authenticator.validate(token)
      assert.deepEqual(far.credentials, near.credentials)
      assert.equal(far.cached, false)
      assert.equal((await authenticator.validate(token)).cached, true)
      assert.equal(authenticator.peek(token), near.credentials.userId)
    }
    await assert.rejects(authenticator.validate('gAAAAAnonsense'), { status: 401 })
    await assert.rejects(house.service.authenticator.validate('gAAAAAnonsense'), { status: 401 })
  })

  test('forgetting everything, a revoked token is seen to be gone', async () => {
    const authenticator = new TokenAuthenticator(transport, new ServiceSession(transport, nova))
    const token = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
    await authenticator.validate(token)
    await house.ask('DELETE', '/auth/tokens', { headers: { 'x-subject-token': token } })
    authenticator.forgetAll()
    await assert.rejects(authenticator.validate(token), { status: 401 })
  })
})
