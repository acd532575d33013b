import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
let demo: { token: string; id: string; project: string }
/** Somebody else on the same project. */
let other: { token: string; id: string }
before(async () => {
  house = await identityHouse()
  const login = await house.login({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
  demo = { token: login.token, id: login.body.token.user.id, project: login.body.token.project.id }
  const { id } = await house.make('user', { name: 'other', password: 'other-pass' })
  const [role] = (await house.ask('GET', '/roles?name=member')).body.roles
  await house.ask('PUT', `/projects/${demo.project}/users/${id}/roles/${role.id}`)
  other = { id, token: await house.token({ name: 'other', password: 'other-pass', scope: onProject('demo') }) }
})
after(() => house.close())

const keep = (fields: object, token = demo.token) =>
  house.ask('POST', '/credentials', { token, body: { credential: { user_id: demo.id, type: 'totp', blob: 'seed', ...fields } } })
const list = async (token: string, query = '') => (await house.ask('GET', `/credentials${query}`, { token })).body.credentials
const rows = () => house.service.context.database.db.selectFrom('credentials').selectAll().execute()

describe('credentials', () => {
  test('are kept sealed, shown to their user, changed and deleted', async () => {
    const made = await keep({ blob: 'a-seed-of-mine' })
    assert.equal(made.status, 201)
    const { id, links, ...one } = made.body.credential
    assert.deepEqual(one, { user_id: demo.id, project_id: null, type: 'totp', blob: 'a-seed-of-mine' })
    assert.ok(links.self.endsWith(`/credentials/${id}`))
    assert.ok(!JSON.stringify(await rows()).includes('a-seed-of-mine'))
    const changed = await house.ask('PATCH', `/credentials/${id}`, {
      token: demo.token,
      body: { credential: { blob: 'other', user_id: other.id, colour: 'red' } },
    })
    assert.deepEqual([changed.body.credential.blob, changed.body.credential.user_id], ['other', demo.id])
    assert.equal((await house.ask('GET', `/credentials/${id}`, { token: demo.token })).body.credential.blob, 'other')
    assert.equal((await house.ask('DELETE', `/credentials/${id}`, { token: demo.token })).status, 204)
    assert.equal((await house.ask('GET', `/credentials/${id}`, { token: demo.token })).status, 404)
  })

  test('of others are nobody’s business but an administrator’s', async () => {
    const { id } = (await keep({})).body.credential
    for (const [method, body] of [['GET'], ['PATCH', { credential: { blob: 'x' } }], ['DELETE']] as const)
      assert.equal((await house.ask(method, `/credentials/${id}`, { token: other.token, body })).status, 403, method)
    assert.equal((await keep({}, other.token)).status, 403)
    assert.deepEqual(await list(other.token), [])
    assert.equal((await list(demo.token, '?type=totp')).length, 1)
    assert.equal((await list(house.admin, `?user_id=${demo.id}`)).length, 1)
    assert.deepEqual(await list(demo.token, '?type=cert'), [])
    assert.equal((await house.ask('DELETE', `/credentials/${id}`)).status, 204)
  })

  test('an access key is for a project and found by its hash; one that is none is refused', async () => {
    const key = { type: 'ec2', blob: JSON.stringify({ access: 'AK1', secret: 'SK1' }), project_id: demo.project }
    const made = await keep(key)
    assert.match(made.body.credential.id, /^[0-9a-f]{64}$/)
    assert.equal((await keep(key)).status, 409)
    for (const wrong of [{ blob: 'no json' }, { blob: '{}' }, { blob: 'null' }, { project_id: null }])
      assert.equal((await keep({ ...key, ...wrong })).status, 400, JSON.stringify(wrong))
    assert.equal((await keep({ project_id: 'nowhere' })).status, 404)
    for (const secret of [undefined, 5]) {
      const odd = await keep({ ...key, blob: JSON.stringify({ access: 'odd', secret }) })
      const shown = await house.ask('GET', `/users/${demo.id}/credentials/OS-EC2/odd`, { token: demo.token })
      assert.deepEqual([shown.status, shown.body.credential.secret], [200, null])
      await house.ask('DELETE', `/credentials/${odd.body.credential.id}`)
    }
    assert.equal((await keep({ user_id: 'nobody' }, house.admin)).status, 404)
    await house.ask('DELETE', `/credentials/${made.body.credential.id}`)
  })

  test('what is lent or restricted is not made into one that lasts, nor may it take one away', async () => {
    const { id } = (await keep({})).body.credential
    const application = (
      await house.ask('POST', `/users/${demo.id}/application_credentials`, {
        token: demo.token,
        body: { application_credential: { name: 'app' } },
      })
    ).body.application_credential
    const open = async (identity: object, scope?: object) =>
      String(
        (await house.server.request('POST', '/identity/v3/auth/tokens', { as: null, body: { auth: { identity, scope } } })).headers[
          'x-subject-token'
        ],
      )
    const restricted = await open({
      methods: ['application_credential'],
      application_credential: { id: application.id, secret: application.secret },
    })
    const trust = {
      trustor_user_id: demo.id,
      trustee_user_id: other.id,
      project_id: demo.project,
      impersonation: true,
      roles: [{ name: 'member' }],
    }
    const lent = await house.ask('POST', '/OS-TRUST/trusts', { token: demo.token, body: { trust } })
    const scope = { 'OS-TRUST:trust': { id: lent.body.trust.id } }
    const trusted = await open(
      { methods: ['password'], password: { user: { name: 'other', domain: { id: 'default' }, password: 'other-pass' } } },
      scope,
    )
    for (const token of [restricted, trusted]) {
      const keys = `/users/${demo.id}/credentials/OS-EC2`
      assert.equal((await keep({}, token)).status, 403)
      assert.equal((await house.ask('PATCH', `/credentials/${id}`, { token, body: { credential: { blob: 'x' } } })).status, 403)
      assert.equal((await house.ask('DELETE', `/credentials/${id}`, { token })).status, 403)
      assert.equal((await house.ask('POST', keys, { token, body: { tenant_id: demo.project } })).status, 403)
    }
  })
})

describe('access keys', () => {
  const path = (user: string, access = '') => `/users/${user}/credentials/OS-EC2${access && `/${access}`}`
  test('are drawn for a project, listed, shown and deleted; each user has their own', async () => {
    const draw = (user: string, token: string, tenant = demo.project) =>
      house.ask('POST', path(user), { token, body: { tenant_id: tenant } })
    const made = await draw(demo.id, demo.token)
    assert.equal(made.status, 201)
    const { access, secret, links, ...one } = made.body.credential
    assert.deepEqual(one, { user_id: demo.id, tenant_id: demo.project, trust_id: null })
    assert.ok(access.length === 32 && secret.length === 32 && links.self.endsWith(path(demo.id, access)))
    assert.ok(!JSON.stringify(await rows()).includes(secret))
    const keys = (await house.ask('GET', path(demo.id), { token: demo.token })).body.credentials
    assert.deepEqual(
      keys.map((key: any) => key.access),
      [access],
    )
    assert.equal((await house.ask('GET', path(demo.id, access), { token: demo.token })).body.credential.secret, secret)
    assert.equal((await draw(demo.id, other.token)).status, 403)
    assert.equal((await house.ask('GET', path(demo.id, access), { token: other.token })).status, 403)
    assert.equal((await house.ask('GET', path(demo.id), { token: other.token })).status, 403)
    assert.equal((await house.ask('GET', path(other.id, access), { token: other.token })).status, 404, 'named as one’s own')
    assert.equal((await house.ask('DELETE', path(other.id, access), { token: other.token })).status, 404)
    assert.equal((await draw(demo.id, demo.token, 'nowhere')).status, 404)
    assert.equal((await house.ask('DELETE', path(demo.id, access), { token: demo.token })).status, 204)
    assert.equal((await house.ask('GET', path(demo.id, access), { token: demo.token })).status, 404)
  })

  test('go with their user and with their project', async () => {
    const user = await house.make('user', { name: 'leaves' })
    const project = await house.make('project', { name: 'leaves' })
    const draw = (id: string, tenant_id: string) => house.ask('POST', path(id), { body: { tenant_id } })
    await draw(user.id, demo.project)
    await draw(other.id, project.id)
    const left = async (column: 'user_id' | 'project_id', id: string) => (await rows()).filter((row) => row[column] === id).length
    assert.deepEqual([await left('user_id', user.id), await left('project_id', project.id)], [1, 1])
    await house.ask('DELETE', `/users/${user.id}`)
    await house.ask('DELETE', `/projects/${project.id}`)
    assert.deepEqual([await left('user_id', user.id), await left('project_id', project.id)], [0, 0])
  })
})
