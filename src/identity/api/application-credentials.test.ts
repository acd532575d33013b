import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
let demo: { token: string; id: string }
before(async () => {
  house = await identityHouse()
  const login = await house.login({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
  demo = { token: login.token, id: login.body.token.user.id }
})
after(() => house.close())

const path = (id = '') => `/users/${demo.id}/application_credentials${id && `/${id}`}`
const make = (fields: object, token = demo.token) => house.ask('POST', path(), { body: { application_credential: fields }, token })
const open = async (credential: object, scope?: object) => {
  const identity = { methods: ['application_credential'], application_credential: credential }
  return await house.server.request('POST', '/identity/v3/auth/tokens', { as: null, body: { auth: { identity, scope } } })
}

describe('application credentials', () => {
  test('are made, told once, listed and found by name', async () => {
    const { status, body } = await make({ name: 'one', description: 'd' })
    const { secret, id, ...one } = body.application_credential
    assert.equal(status, 201)
    assert.deepEqual([one.unrestricted, one.expires_at, one.roles.map((role: any) => role.name)], [false, null, ['member', 'reader']])
    const shown = (await house.ask('GET', path(id), { token: demo.token })).body.application_credential
    assert.ok(!('secret' in shown))
    await make({ name: 'two' })
    const list = async (query = '') => (await house.ask('GET', path() + query, { token: demo.token })).body.application_credentials
    assert.equal((await list()).length, 2)
    assert.deepEqual(
      (await list('?name=two')).map((found: any) => found.name),
      ['two'],
    )
    assert.equal((await make({ name: 'two' })).status, 409)
    assert.ok(secret.length > 40)
  })

  test('log into their project with their roles, and their tokens end with them', async () => {
    const { id, secret } = (await make({ name: 'reads', roles: [{ name: 'reader' }], secret: 'mine' })).body.application_credential
    assert.equal(secret, 'mine')
    const { status, body, headers } = await open({ id, secret })
    assert.equal(status, 201)
    assert.deepEqual([body.token.project.name, body.token.roles.map((role: any) => role.name)], ['demo', ['reader']])
    assert.deepEqual([body.token.methods, body.token.application_credential.restricted], [['application_credential'], true])
    const token = String(headers['x-subject-token'])
    const valid = async () => (await house.ask('GET', '/auth/tokens', { headers: { 'x-subject-token': token } })).status
    assert.equal(await valid(), 200)
    assert.equal((await open({ name: 'reads', secret, user: { id: demo.id } })).status, 201)
    assert.equal((await open({ name: 'reads', secret })).status, 401)
    assert.equal((await open({ id, secret: 'wrong' })).status, 401)
    assert.equal((await open({ id, secret }, onProject('demo'))).status, 401)
    assert.equal((await make({ name: 'more' }, token)).status, 403, 'a restricted one makes no others')
    assert.equal((await house.ask('DELETE', path(id), { token })).status, 403)
    assert.equal((await house.ask('DELETE', path(id), { token: demo.token })).status, 204)
    assert.deepEqual([await valid(), (await open({ id, secret })).status], [404, 401])
  })

  test('an unrestricted one may make others; a time that is over opens nothing', async () => {
    const { id, secret } = (await make({ name: 'free', unrestricted: true })).body.application_credential
    const token = String((await open({ id, secret })).headers['x-subject-token'])
    assert.equal((await make({ name: 'of free' }, token)).status, 201)
    const soon = new Date(Date.now() + 3_600_000).toISOString().replace('Z', '')
    const timed = (await make({ name: 'timed', expires_at: soon })).body.application_credential
    assert.equal(timed.expires_at.slice(0, 23), soon)
    assert.ok(Date.parse((await open({ id: timed.id, secret: timed.secret })).body.token.expires_at) <= Date.parse(`${soon}Z`))
    for (const expires_at of ['2001-01-01T00:00:00', 'soon']) assert.equal((await make({ name: 'late', expires_at })).status, 400)
    const { db } = house.service.context.database
    await db.updateTable('application_credentials').set({ expires_at: '2001-01-01T00:00:00' }).where('id', '=', timed.id).execute()
    assert.equal((await open({ id: timed.id, secret: timed.secret })).status, 401)
  })

  test('end when they say, wherever the machine thinks it is', async () => {
    const { TZ } = process.env
    try {
      for (const zone of ['Asia/Shanghai', 'America/New_York']) {
        process.env.TZ = zone
        const soon = new Date(Date.now() + 3_600_000).toISOString().replace('Z', '')
        const { id, secret } = (await make({ name: zone, expires_at: soon })).body.application_credential
        const { status, body } = await open({ id, secret })
        assert.equal(status, 201, zone)
        assert.ok(Math.abs(Date.parse(body.token.expires_at) - Date.parse(`${soon}Z`)) < 1000, zone)
      }
    } finally {
      if (TZ === undefined) delete process.env.TZ
      else process.env.TZ = TZ
    }
  })

  test('are nobody else’s, and give no role that the caller has not', async () => {
    assert.equal((await make({ name: 'x' }, house.admin)).status, 403)
    assert.equal((await make({ name: 'x', roles: [{ name: 'admin' }] })).status, 400)
    for (const wrong of [{}, { name: '' }, { name: 'x', access_rules: [] }, { name: 'x', roles: [] }, { name: 'x', unrestricted: 'yes' }])
      assert.equal((await make(wrong)).status, 400, JSON.stringify(wrong))
    assert.equal((await house.ask('GET', path('none'), { token: demo.token })).status, 404)
    const other = await house.make('user', { name: 'other', password: 'other-pass', domain_id: 'default' })
    const { roles } = (await house.ask('GET', '/roles?name=member')).body
    const { projects } = (await house.ask('GET', '/projects?name=demo')).body
    await house.ask('PUT', `/projects/${projects[0].id}/users/${other.id}/roles/${roles[0].id}`)
    const token = await house.token({ name: 'other', password: 'other-pass', scope: onProject('demo') })
    assert.equal((await house.ask('GET', path(), { token })).status, 403)
    const unscoped = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: 'unscoped' })
    assert.equal((await make({ name: 'x' }, unscoped)).status, 400)
  })
})

test('a domain is shown to those whose project is in it', async () => {
  assert.equal((await house.ask('GET', '/domains/default', { token: demo.token })).status, 200)
  const domain = await house.make('domain', { name: 'other' })
  assert.equal((await house.ask('GET', `/domains/${domain.id}`, { token: demo.token })).status, 403)
})

test('passwords: wrong ones lock out for a while, old ones are refused, and the old one is enough to change it', async () => {
  const strict = await identityHouse({ compliance: { lockoutFailureAttempts: 2, lockoutDuration: 60, uniqueLastPasswordCount: 2 } })
  try {
    const user = await strict.make('user', { name: 'u', password: 'first', domain_id: 'default' })
    const status = async (password: string) => (await strict.login({ id: user.id, password })).status
    assert.deepEqual([await status('no'), await status('first'), await status('no'), await status('no')], [401, 201, 401, 401])
    assert.equal(await status('first'), 401, 'locked out')
    const { db } = strict.service.context.database
    await db.updateTable('users').set({ failed_at: '2001-01-01T00:00:00.000Z' }).where('id', '=', user.id).execute()
    assert.equal(await status('first'), 201, 'the time is over')
    const change = async (original_password: string, password: string) =>
      (await strict.ask('POST', `/users/${user.id}/password`, { token: null, body: { user: { original_password, password } } })).status
    const token = await strict.token({ id: user.id, password: 'first' })
    assert.deepEqual([await change('wrong', 'x'), await change('first', 'first'), await change('first', 'second')], [401, 400, 204])
    assert.equal((await strict.login({ token })).status, 404, 'tokens of the old password')
    assert.deepEqual([await change('second', 'first'), await change('second', 'third'), await change('third', 'first')], [400, 204, 204])
    assert.equal(await status('first'), 201)
  } finally {
    await strict.close()
  }
})
