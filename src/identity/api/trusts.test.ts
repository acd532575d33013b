import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
/** The trustor: demo, who is member and reader on demo. The trustee has no role anywhere. */
let demo: { token: string; id: string; project: string }
let trustee: { token: string; id: string }
let stranger: { token: string; id: string }
before(async () => {
  house = await identityHouse()
  const login = await house.login({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
  demo = { token: login.token, id: login.body.token.user.id, project: login.body.token.project.id }
  const user = async (name: string) => {
    const { id } = await house.make('user', { name, password: `${name}-pass`, domain_id: 'default' })
    return { id, token: await house.token({ name, password: `${name}-pass` }) }
  }
  ;[trustee, stranger] = [await user('trustee'), await user('stranger')]
})
after(() => house.close())

const wish = (fields: object = {}) => ({
  trustor_user_id: demo.id,
  trustee_user_id: trustee.id,
  project_id: demo.project,
  impersonation: true,
  roles: [{ name: 'reader' }],
  ...fields,
})
const ask = (method: string, path: string, token: string, body?: object) => house.ask(method, `/OS-TRUST/trusts${path}`, { token, body })
const make = (fields: object = {}, token = demo.token) => ask('POST', '', token, { trust: wish(fields) })
const made = async (fields: object = {}) => {
  const { status, body } = await make(fields)
  assert.equal(status, 201, JSON.stringify(body))
  return body.trust
}
const open = (id: string, who = trustee) => house.login({ token: who.token, scope: { 'OS-TRUST:trust': { id } } })
const valid = async (token: string) => (await house.ask('GET', '/auth/tokens', { headers: { 'x-subject-token': token } })).status
const names = (roles: { name: string }[]) => roles.map(({ name }) => name).sort()

describe('a trust', () => {
  test('is shown to its two sides, with the roles that it lends', async () => {
    const trust = await made({ expires_at: '2099-01-01T00:00:00.000000Z' })
    assert.deepEqual(names(trust.roles), ['reader'])
    assert.deepEqual([trust.expires_at, trust.remaining_uses, trust.redelegation_count], ['2099-01-01T00:00:00.000000Z', null, 0])
    for (const { token } of [demo, trustee]) assert.equal((await ask('GET', `/${trust.id}`, token)).body.trust.id, trust.id)
    assert.equal((await ask('GET', `/${trust.id}`, stranger.token)).status, 403)
    const role = trust.roles[0].id
    assert.equal((await ask('GET', `/${trust.id}/roles/${role}`, trustee.token)).body.role.name, 'reader')
    assert.equal((await ask('HEAD', `/${trust.id}/roles/${role}`, trustee.token)).status, 200)
    assert.equal((await ask('GET', `/${trust.id}/roles/none`, trustee.token)).status, 404)
    assert.deepEqual(names((await ask('GET', `/${trust.id}/roles`, demo.token)).body.roles), ['reader'])
    const list = async (query: string, token: string) => await ask('GET', query, token)
    assert.ok(!('roles' in (await list(`?trustor_user_id=${demo.id}`, demo.token)).body.trusts[0]))
    assert.equal((await list(`?trustee_user_id=${trustee.id}`, trustee.token)).body.trusts.length, 1)
    assert.equal((await list(`?trustor_user_id=${demo.id}`, stranger.token)).status, 403)
    assert.deepEqual([(await list('', demo.token)).status, (await list('', house.admin)).status], [403, 200])
    assert.equal((await ask('DELETE', `/${trust.id}`, trustee.token)).status, 403)
    assert.equal((await ask('DELETE', `/${trust.id}`, demo.token)).status, 204)
    assert.equal((await ask('GET', `/${trust.id}`, demo.token)).status, 404)
  })

  test('makes tokens as the trustor, or as the trustee, that end with it', async () => {
    for (const impersonation of [true, false]) {
      const trust = await made({ impersonation })
      const { status, body, token } = await open(trust.id)
      assert.equal(status, 201, JSON.stringify(body))
      assert.equal(body.token.user.id, impersonation ? demo.id : trustee.id)
      assert.deepEqual([body.token.project.name, names(body.token.roles)], ['demo', ['reader']])
      const { id, ...rest } = body.token['OS-TRUST:trust']
      assert.deepEqual([id, rest], [trust.id, { impersonation, trustor_user: { id: demo.id }, trustee_user: { id: trustee.id } }])
      assert.equal(await valid(token), 200)
      await ask('DELETE', `/${trust.id}`, demo.token)
      assert.deepEqual([await valid(token), (await open(trust.id)).status], [404, 404])
    }
  })

  test('lasts as long and is used as often as it says', async () => {
    const soon = new Date(Date.now() + 3_600_000).toISOString()
    const timed = await made({ expires_at: soon })
    const { token, body } = await open(timed.id)
    assert.ok(Date.parse(body.token.expires_at) <= Date.parse(soon))
    await house.service.context.database.db.updateTable('trusts').set({ expires_at: '2001-01-01T00:00:00.000000Z' }).execute()
    house.service.context.validated.clear()
    assert.deepEqual(
      [await valid(token), (await open(timed.id)).status, (await ask('GET', `/${timed.id}`, demo.token)).status],
      [404, 404, 404],
    )
    const twice = await made({ remaining_uses: 2 })
    const statuses = [(await open(twice.id)).status, (await open(twice.id)).status, (await open(twice.id)).status]
    assert.deepEqual(statuses, [201, 201, 403])
    for (const wrong of [
      { expires_at: 'soon' },
      { expires_at: '2001-01-01T00:00:00Z' },
      { remaining_uses: 0 },
      { remaining_uses: 3, allow_redelegation: true },
      { impersonation: 'yes' },
    ])
      assert.equal((await make(wrong)).status, 400, JSON.stringify(wrong))
    assert.equal((await make({ trustee_user_id: 'nobody' })).status, 404)
  })
})

describe('through a trust nobody gets more than was lent', () => {
  test('not a role that the trustor does not have, nor somebody else’s roles', async () => {
    assert.equal((await make({ roles: [{ name: 'admin' }] })).status, 404)
    assert.equal((await make({ roles: [] })).status, 403)
    assert.equal((await make({}, trustee.token)).status, 403, 'nobody makes a trust for another trustor')
    assert.equal((await make({}, house.admin)).status, 403, 'not even an administrator')
    const admins = (await house.ask('GET', '/projects?name=admin')).body.projects[0].id
    assert.equal((await make({ project_id: admins })).status, 404, 'the trustor has no role there')
  })

  test('nobody but the trustee uses it', async () => {
    const trust = await made()
    assert.equal((await open(trust.id, stranger)).status, 403)
    assert.equal((await open(trust.id, { token: house.admin, id: '' })).status, 403)
    assert.equal((await open(trust.id, demo)).status, 403)
  })

  test('its token gives no other token, no password of a program, and no trust', async () => {
    const trust = await made()
    const { token } = await open(trust.id)
    assert.equal((await house.login({ token, scope: onProject('demo') })).status, 403)
    assert.equal((await house.login({ token, scope: 'unscoped' })).status, 403)
    assert.equal((await open(trust.id, { token, id: '' })).status, 403)
    const credential = { application_credential: { name: 'kept', unrestricted: true } }
    assert.equal((await house.ask('POST', `/users/${demo.id}/application_credentials`, { token, body: credential })).status, 403)
    assert.equal((await make({ trustee_user_id: stranger.id }, token)).status, 403, 'it may not be passed on')
    assert.equal((await house.ask('GET', '/users', { token })).status, 403)
  })

  test('passed on it lends no more roles, no longer time, no deeper chain, and nobody’s face', async () => {
    const until = '2099-01-01T00:00:00.000000Z'
    const first = await made({ allow_redelegation: true, redelegation_count: 2, expires_at: until })
    const { token } = await open(first.id)
    const pass = async (fields: object, as = token) => await make({ trustee_user_id: stranger.id, ...fields }, as)
    assert.equal((await pass({ roles: [{ name: 'member' }] })).status, 403)
    assert.equal((await pass({ expires_at: '2100-01-01T00:00:00Z' })).status, 403)
    assert.equal((await pass({ allow_redelegation: true, redelegation_count: 2 })).status, 403)
    const second = (await pass({ allow_redelegation: true })).body.trust
    assert.deepEqual([second.redelegated_trust_id, second.redelegation_count, second.expires_at], [first.id, 1, until])
    const theirs = await open(second.id, stranger)
    assert.deepEqual(names(theirs.body.token.roles), ['reader'])
    const faceless = await made({ allow_redelegation: true, impersonation: false })
    const reader = first.roles[0].id
    const own = `/projects/${demo.project}/users/${trustee.id}/roles/${reader}`
    await house.ask('PUT', own)
    assert.equal((await pass({ trustor_user_id: trustee.id }, (await open(faceless.id)).token)).status, 403)
    await house.ask('DELETE', own)
    assert.equal((await make({ allow_redelegation: true, redelegation_count: 4 })).status, 403)
    await ask('DELETE', `/${first.id}`, demo.token)
    assert.deepEqual([await valid(theirs.token), (await open(second.id, stranger)).status], [404, 404])
  })

  test('passed on by a user who goes it ends with that user', async () => {
    const { id } = await house.make('user', { name: 'between', password: 'between-pass', domain_id: 'default' })
    const first = await made({ trustee_user_id: id, allow_redelegation: true })
    const { token } = await open(first.id, { id, token: await house.token({ name: 'between', password: 'between-pass' }) })
    const second = (await make({ trustee_user_id: stranger.id }, token)).body.trust
    assert.equal((await open(second.id, stranger)).status, 201)
    await house.ask('DELETE', `/users/${id}`)
    assert.equal((await open(second.id, stranger)).status, 404)
  })

  test('it ends when the trustor loses the role or is disabled, and when the trustee is', async () => {
    const roles = (await house.ask('GET', '/roles?name=member')).body.roles[0].id
    const grant = `/projects/${demo.project}/users/${demo.id}/roles/${roles}`
    const trust = await made({ roles: [{ name: 'member' }], impersonation: false })
    const faced = await made({ roles: [{ name: 'member' }] })
    const without = async (off: () => Promise<unknown>, on: () => Promise<unknown>, { id } = trust) => {
      const { token } = await open(id)
      assert.equal(await valid(token), 200)
      await off()
      const found = [await valid(token), (await open(id)).status]
      await on()
      return found
    }
    const granted = (method: string) => () => house.ask(method, grant)
    assert.deepEqual(await without(granted('DELETE'), granted('PUT')), [404, 403])
    const enabled = (id: string, is: boolean) => () => house.ask('PATCH', `/users/${id}`, { body: { user: { enabled: is } } })
    assert.deepEqual(await without(enabled(demo.id, false), enabled(demo.id, true)), [404, 403])
    assert.deepEqual(await without(enabled(trustee.id, false), enabled(trustee.id, true), faced), [404, 404])
  })

  test('a restricted application credential makes none', async () => {
    const token = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
    demo.token = token
    const credential = { application_credential: { name: 'program' } }
    const { body } = await house.ask('POST', `/users/${demo.id}/application_credentials`, { token, body: credential })
    const { id, secret } = body.application_credential
    const identity = { methods: ['application_credential'], application_credential: { id, secret } }
    const login = (scope?: object) =>
      house.server.request('POST', '/identity/v3/auth/tokens', { as: null, body: { auth: { identity, scope } } })
    assert.equal((await make({}, String((await login()).headers['x-subject-token']))).status, 403)
    assert.equal((await login({ 'OS-TRUST:trust': { id } })).status, 401)
    const program = String((await login()).headers['x-subject-token'])
    assert.equal((await open((await made({ trustee_user_id: demo.id })).id, { token: program, id: '' })).status, 401)
  })
})
