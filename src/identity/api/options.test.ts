import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject } from '../testing.ts'

let house: IdentityHouse
before(async () => {
  house = await identityHouse({ compliance: { lockoutFailureAttempts: 2, lockoutDuration: 60, uniqueLastPasswordCount: 0 } })
})
after(() => house.close())

let count = 0
/** Somebody who may do something on the project demo. */
async function somebody(options: object = {}): Promise<{ id: string; name: string }> {
  const user = await house.make('user', { name: `somebody-${count++}`, password: 'first', options })
  const project = (await house.ask('GET', '/projects?name=demo')).body.projects[0]
  const role = (await house.ask('GET', '/roles?name=member')).body.roles[0]
  await house.ask('PUT', `/projects/${project.id}/users/${user.id}/roles/${role.id}`)
  return user
}
const change = (id: string, fields: object) => house.ask('PATCH', `/users/${id}`, { body: { user: fields } })
const login = async (id: string, password = 'first') => (await house.login({ id, password, scope: onProject('demo') })).status

describe('options of users', () => {
  test('are kept one by one, and taken away by null', async () => {
    const { id } = await somebody({ lock_password: true, multi_factor_auth_rules: [['password']] })
    const options = async (sent: object) => (await change(id, { options: sent })).body.user.options
    assert.deepEqual(await options({ ignore_password_expiry: false }), {
      lock_password: true,
      multi_factor_auth_rules: [['password']],
      ignore_password_expiry: false,
    })
    assert.deepEqual(await options({ lock_password: null, multi_factor_auth_rules: null }), { ignore_password_expiry: false })
    await change(id, { email: 'a@example.org' })
    const users = (await house.ask('GET', '/users')).body.users
    assert.deepEqual(users.find((one: any) => one.id === id).options, { ignore_password_expiry: false })
    assert.deepEqual(await options({ ignore_password_expiry: null }), {})
  })

  test('are looked at: 400', async () => {
    const { id } = await somebody()
    for (const options of [
      { colour: true },
      { lock_password: 'yes' },
      { lock_password: 1 },
      { multi_factor_auth_rules: ['password'] },
      { multi_factor_auth_rules: [[]] },
      { multi_factor_auth_rules: [['password', 'password']] },
      { multi_factor_auth_rules: [['password'], ['password']] },
      { multi_factor_auth_rules: [[5]] },
    ])
      assert.equal((await change(id, { options })).status, 400, JSON.stringify(options))
  })

  test('lock_password: the password is changed by administrators only', async () => {
    const { id } = await somebody({ lock_password: true })
    const own = (original_password: string) =>
      house.ask('POST', `/users/${id}/password`, { token: null, body: { user: { original_password, password: 'second' } } })
    assert.equal((await own('wrong')).status, 401)
    const refused = await own('first')
    assert.equal(refused.status, 400)
    assert.match(refused.body.error.message, /contact your administrator/)
    assert.equal((await change(id, { password: 'third' })).status, 200)
    await change(id, { options: { lock_password: false } })
    assert.equal((await own('third')).status, 204)
  })

  test('ignore_lockout_failure_attempts: wrong passwords do not lock out; who is locked out is let in by who enables the user', async () => {
    const wrong = async (id: string) => [await login(id, 'no'), await login(id, 'no'), await login(id, 'no'), await login(id)]
    assert.deepEqual(await wrong((await somebody({ ignore_lockout_failure_attempts: true })).id), [401, 401, 401, 201])
    const { id } = await somebody()
    assert.deepEqual(await wrong(id), [401, 401, 401, 401])
    await change(id, { enabled: true })
    assert.equal(await login(id), 201)
  })
})

describe('rules of several factors', () => {
  const rules = (...multi_factor_auth_rules: string[][]) => ({ multi_factor_auth_enabled: true, multi_factor_auth_rules })
  const auth = (identity: object, receipt?: string, scope: unknown = undefined) =>
    house.server.request('POST', '/identity/v3/auth/tokens', {
      as: null,
      headers: receipt ? { 'Openstack-Auth-Receipt': receipt } : {},
      body: { auth: { identity, scope } },
    })
  const byPassword = (id: string, password = 'first') => ({ methods: ['password'], password: { user: { id, password } } })

  /** With an application credential that was made before there were rules. */
  async function guarded(): Promise<{ id: string; name: string; credential: { methods: string[]; application_credential: object } }> {
    const user = await somebody()
    const token = await house.token({ id: user.id, password: 'first', scope: onProject('demo') })
    const made = await house.ask('POST', `/users/${user.id}/application_credentials`, {
      token,
      body: { application_credential: { name: 'a' } },
    })
    const { id, secret } = made.body.application_credential
    await change(user.id, { options: rules(['password', 'application_credential']) })
    return { ...user, credential: { methods: ['application_credential'], application_credential: { id, secret } } }
  }

  test('one factor is answered with a receipt, with which the other is enough', async () => {
    const { id, name, credential } = await guarded()
    const first = await auth(byPassword(id), undefined, onProject('demo'))
    assert.equal(first.status, 401)
    assert.deepEqual(Object.keys(first.body), ['receipt', 'required_auth_methods'])
    assert.deepEqual(first.body.required_auth_methods, [['password', 'application_credential']])
    assert.deepEqual(first.body.receipt.methods, ['password'])
    assert.deepEqual(first.body.receipt.user, { id, name, domain: { id: 'default', name: 'Default' } })
    assert.equal(Date.parse(first.body.receipt.expires_at) - Date.parse(first.body.receipt.issued_at), 300_000)
    const receipt = String(first.headers['openstack-auth-receipt'])
    assert.equal((await auth(byPassword(id), receipt)).status, 401, 'the same factor twice')
    assert.equal((await auth(credential)).status, 401)
    const second = await auth(credential, receipt)
    assert.equal(second.status, 201, JSON.stringify(second.body))
    assert.deepEqual(second.body.token.methods.toSorted(), ['application_credential', 'password'])
    const both = await auth({ ...byPassword(id), ...credential, methods: ['password', 'application_credential'] })
    assert.equal(both.status, 201)
  })

  test('a receipt is nobody else’s, no token, and ends with the password', async () => {
    const [one, other] = [await guarded(), await guarded()]
    const receipt = String((await auth(byPassword(one.id))).headers['openstack-auth-receipt'])
    for (const [what, answer] of [
      ['another user', await auth(other.credential, receipt)],
      ['a token', await auth({ methods: ['token'], token: { id: house.admin } }, receipt)],
      ['no receipt', await auth(one.credential, 'gAAAAA')],
      ['a token as receipt', await auth(one.credential, house.admin)],
    ] as const)
      assert.deepEqual([answer.status, answer.body.error?.code], [401, 401], what)
    assert.equal((await house.ask('GET', '/auth/catalog', { token: receipt })).status, 401)
    assert.equal((await auth({ methods: ['token'], token: { id: receipt } })).status, 404)
    await change(one.id, { password: 'second' })
    assert.equal((await auth(one.credential, receipt)).body.error.message, 'Could not find auth receipt.')
  })

  test('hold for tokens of fewer factors, and not for those of enough', async () => {
    const user = await somebody()
    const before = await house.token({ id: user.id, password: 'first' })
    const byToken = (id: string) => auth({ methods: ['token'], token: { id } }, undefined, onProject('demo'))
    assert.equal((await byToken(before)).status, 201)
    await change(user.id, { options: rules(['password', 'application_credential']) })
    assert.equal((await byToken(before)).status, 401)
    await change(user.id, { options: rules(['password', 'application_credential'], ['password', 'token']) })
    assert.equal((await byToken(before)).status, 201)
  })

  test('are not asked for where they are switched off, are none, or name only what nobody has here', async () => {
    const asked = async (options: object) => login((await somebody(options)).id)
    const both = { multi_factor_auth_rules: [['password', 'application_credential']] }
    assert.equal(await asked(both), 401, 'rules hold unless they are switched off')
    assert.equal(await asked({ ...both, multi_factor_auth_enabled: false }), 201)
    assert.equal(await asked({ multi_factor_auth_enabled: true }), 201)
    assert.equal(await asked(rules(['password', 'totp'])), 201)
    assert.equal(await asked(rules(['totp'])), 201)
    assert.equal(await asked(rules(['totp'], ['application_credential'])), 401)
  })

  test('do not tell who does not know the password that there are any', async () => {
    const { id } = await guarded()
    const answer = await auth(byPassword(id, 'wrong'))
    assert.deepEqual([answer.status, answer.headers['openstack-auth-receipt'], answer.body.error.code], [401, undefined, 401])
  })
})
