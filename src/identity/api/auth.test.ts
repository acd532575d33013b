import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { refusalTests } from '../../kernel/http/testing.ts'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS, URL } from '../testing.ts'

let house: IdentityHouse
before(async () => {
  house = await identityHouse()
})
after(() => house.close())

refusalTests(async () => house.service.api)

const demo = { name: 'demo', password: PASSWORDS.demo }
const validate = (token: string, options: { token?: string | null } = {}) =>
  house.ask('GET', '/auth/tokens', { ...options, headers: { 'x-subject-token': token } })

describe('discovery', () => {
  test('versions are shown without a token', async () => {
    const show = async (path: string) => await house.server.request('GET', path, { as: null })
    const root = await show('/identity')
    assert.equal(root.status, 300)
    assert.deepEqual(
      root.body.versions.values.map((one: any) => [one.id, one.status]),
      [
        ['v3.14', 'stable'],
        ['v2.0', 'deprecated'],
      ],
    )
    for (const path of ['/identity/v3', '/identity/v3/']) {
      const { status, body } = await show(path)
      assert.equal(status, 200)
      assert.match(body.version.links[0].href, /\/identity\/v3\/$/)
    }
    assert.equal((await show('/identity/v2.0')).body.version.id, 'v2.0')
  })
})

describe('passwords', () => {
  test('a token for a project: roles with those implied, catalog with the project in it', async () => {
    const { status, token, body, headers } = await house.login({ ...demo, scope: onProject('demo') })
    assert.equal(status, 201)
    assert.match(token, /^gAAAAA/)
    assert.equal(headers.vary, 'X-Auth-Token')
    assert.equal(body.token.user.name, 'demo')
    assert.deepEqual(body.token.user.domain, { id: 'default', name: 'Default' })
    assert.equal(body.token.project.name, 'demo')
    assert.deepEqual(body.token.methods, ['password'])
    assert.deepEqual(body.token.roles.map((role: any) => role.name).toSorted(), ['member', 'reader'])
    assert.equal(body.token.audit_ids.length, 1)
    assert.ok(Date.parse(body.token.expires_at) > Date.parse(body.token.issued_at))
    assert.match(body.token.issued_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    const volume = body.token.catalog.find((one: any) => one.type === 'volumev3')
    assert.deepEqual(
      volume.endpoints.map((one: any) => [one.interface, one.region_id, one.url]).toSorted(),
      ['admin', 'internal', 'public'].map((side) => [side, 'RegionOne', `${URL}/volume/v3/${body.token.project.id}`]),
    )
    const ofAdmin = (await validate(house.admin)).body.token.roles.map((role: any) => role.name).toSorted()
    assert.deepEqual(ofAdmin, ['admin', 'manager', 'member', 'reader'])
    assert.doesNotMatch(JSON.stringify(body), /scrypt|password_hash/)
  })

  test('every other wish of scope', async () => {
    const kinds = async (scope: unknown, who: object = { name: 'admin', password: PASSWORDS.admin }) => {
      const { status, body } = await house.login({ ...who, scope })
      return status === 201
        ? Object.keys(body.token).filter((key) => ['project', 'domain', 'system', 'roles', 'catalog'].includes(key))
        : status
    }
    assert.deepEqual(await kinds('unscoped'), [])
    assert.deepEqual(await kinds({ unscoped: {} }), [])
    assert.deepEqual(await kinds({ system: { all: true } }), ['system', 'roles', 'catalog'])
    assert.deepEqual(await kinds({ domain: { id: 'default' } }), ['domain', 'roles', 'catalog'])
    assert.deepEqual(await kinds({ domain: { name: 'Default' } }), ['domain', 'roles', 'catalog'])
    assert.deepEqual(await kinds(undefined), ['project', 'roles', 'catalog'])
    assert.equal(await kinds({ system: { all: true } }, demo), 401)
    assert.equal(await kinds({ domain: { id: 'default' } }, demo), 401)
    assert.equal(await kinds(onProject('admin'), demo), 401)
    assert.equal(await kinds(onProject('nowhere'), demo), 401)
    assert.equal(await kinds({ project: { name: 'demo', domain: { name: 'Nowhere' } } }, demo), 401)
    assert.equal(await kinds({}, demo), 400)
    assert.equal(await kinds({ system: { all: false } }), 400)
    assert.equal(await kinds(5), 400)
  })

  test('whatever part is wrong, the answer is the same', async () => {
    const answers = await Promise.all([
      house.login({ ...demo, password: 'wrong' }),
      house.login({ name: 'nobody', password: 'wrong' }),
      house.login({ ...demo, domain: { name: 'Nowhere' } }),
      house.login({ id: 'no-such-id', password: PASSWORDS.demo }),
      house.login({ ...demo, password: '' }),
    ])
    for (const { status, body } of answers) {
      assert.equal(status, 401)
      assert.deepEqual(body, { error: { code: 401, message: 'The request you have made requires authentication.', title: 'Unauthorized' } })
    }
  })

  test('wrong documents are 400', async () => {
    const post = (body: unknown) => house.server.request('POST', '/identity/v3/auth/tokens', { as: null, body })
    const bodies = [
      {},
      [],
      { auth: {} },
      { auth: { identity: {} } },
      { auth: { identity: { methods: [] } } },
      { auth: { identity: { methods: ['password'] } } },
      { auth: { identity: { methods: ['token'] } } },
      { auth: { identity: { methods: ['password'], password: { user: { name: 'demo' } } } } },
      { auth: { identity: { methods: ['password'], password: { user: { name: 5, password: 'x' } } } } },
    ]
    for (const body of bodies) assert.equal((await post(body)).status, 400, JSON.stringify(body))
    assert.equal((await post({ auth: { identity: { methods: ['oauth1'] } } })).status, 401)
    assert.equal((await house.server.request('POST', '/identity/v3/auth/tokens', { as: null, text: '{"auth":' })).status, 400)
    assert.equal((await house.server.request('POST', '/identity/v3/auth/tokens', { as: null })).status, 400)
    assert.equal((await house.ask('GET', '/auth/tokens')).status, 400)
  })
})

describe('tokens', () => {
  test('rescoping keeps the end and the chain; a wrong token is refused', async () => {
    const first = await house.login({ ...demo, scope: 'unscoped' })
    const second = await house.login({ token: first.token, scope: onProject('demo') })
    assert.equal(second.status, 201)
    assert.equal(second.body.token.expires_at, first.body.token.expires_at)
    assert.deepEqual(second.body.token.methods.toSorted(), ['password', 'token'])
    assert.equal(second.body.token.audit_ids[1], first.body.token.audit_ids[0])
    assert.equal((await house.login({ token: first.token, scope: onProject('admin') })).status, 401)
    for (const token of ['x', `${first.token.slice(0, -6)}AAAAAA`, 'gAAAAA'.repeat(30)])
      assert.equal((await house.login({ token, scope: onProject('demo') })).status, 404)
  })

  test('validated, also with the catalog left out; forged and missing ones are 404 and 401', async () => {
    const token = await house.token({ ...demo, scope: onProject('demo') })
    assert.ok((await validate(token)).body.token.catalog.length > 0)
    const bare = await house.ask('GET', '/auth/tokens?nocatalog', { headers: { 'x-subject-token': token } })
    assert.equal(bare.body.token.catalog, undefined)
    assert.equal((await house.ask('HEAD', '/auth/tokens', { headers: { 'x-subject-token': token } })).status, 200)
    assert.equal((await validate('gAAAAAforged')).status, 404)
    assert.equal((await validate(token, { token: 'gAAAAAforged' })).status, 401)
    assert.equal((await validate(token, { token: null })).status, 401)
    house.service.context.validated.clear()
    assert.equal((await validate(token)).body.token.user.name, 'demo')
  })

  test('a revoked token is gone, with those made from it, and no other; only its owner or an administrator revokes', async () => {
    const mine = await house.token({ ...demo, scope: onProject('demo') })
    const child = await house.token({ token: mine, scope: 'unscoped' })
    const other = await house.token({ ...demo, scope: onProject('demo') })
    const revoke = (token: string, by: string) => house.ask('DELETE', '/auth/tokens', { token: by, headers: { 'x-subject-token': token } })
    assert.equal((await revoke(house.admin, mine)).status, 403)
    assert.equal((await revoke(mine, mine)).status, 204)
    assert.equal((await validate(mine)).status, 404)
    assert.equal((await validate(child)).status, 404)
    assert.equal((await validate(other)).status, 200)
    assert.equal((await house.ask('GET', '/auth/catalog', { token: mine })).status, 401)
    assert.equal((await revoke(other, house.admin)).status, 204)
    assert.equal((await validate(other)).status, 404)
  })

  test('catalog, projects and domains of the caller', async () => {
    const token = await house.token({ ...demo, scope: onProject('demo') })
    assert.ok((await house.ask('GET', '/auth/catalog', { token })).body.catalog.some((one: any) => one.type === 'compute'))
    const { body } = await house.ask('GET', '/auth/projects', { token })
    assert.deepEqual(
      body.projects.map((one: any) => one.name),
      ['demo'],
    )
    assert.deepEqual((await house.ask('GET', '/auth/domains', { token })).body.domains, [])
    assert.equal((await house.ask('GET', '/auth/domains')).body.domains[0].id, 'default')
  })

  test('disabled users, projects and domains take their tokens along, and give no new ones', async () => {
    const domain = await house.make('domain', { name: 'acme' })
    const project = await house.make('project', { name: 'acme-p', domain_id: domain.id })
    const user = await house.make('user', { name: 'bob', domain_id: domain.id, password: 'bob-pass' })
    const member = (await house.ask('GET', '/roles?name=member')).body.roles[0]
    assert.equal((await house.ask('PUT', `/projects/${project.id}/users/${user.id}/roles/${member.id}`)).status, 204)
    const bob = { id: user.id, password: 'bob-pass', scope: { project: { id: project.id } } }
    const things = [
      ['user', `/users/${user.id}`],
      ['project', `/projects/${project.id}`],
      ['domain', `/domains/${domain.id}`],
    ] as const
    for (const [noun, path] of things) {
      const token = await house.token(bob)
      assert.equal((await house.ask('PATCH', path, { body: { [noun]: { enabled: false } } })).body[noun].enabled, false)
      assert.equal((await validate(token)).status, 404, noun)
      assert.equal((await house.login(bob)).status, 401, noun)
      assert.equal((await house.ask('PATCH', path, { body: { [noun]: { enabled: true } } })).status, 200)
    }
    const token = await house.token(bob)
    await house.ask('DELETE', `/projects/${project.id}/users/${user.id}/roles/${member.id}`)
    assert.equal((await validate(token)).status, 404)
    assert.equal((await house.login(bob)).status, 401)
  })

  test('an expired token is no token', async () => {
    const short = await identityHouse({ tokenLifeMs: 1200 })
    const token = await short.token({ ...demo, scope: onProject('demo') })
    const child = await short.token({ token, scope: 'unscoped' })
    await new Promise((resolve) => setTimeout(resolve, 1300))
    const admin = await short.token({ name: 'admin', password: PASSWORDS.admin, scope: onProject('admin') })
    for (const old of [token, child]) {
      assert.equal((await short.ask('GET', '/auth/tokens', { token: admin, headers: { 'x-subject-token': old } })).status, 404)
      assert.equal((await short.ask('GET', '/auth/catalog', { token: old })).status, 401)
      assert.equal((await short.login({ token: old, scope: onProject('demo') })).status, 404)
    }
    await short.close()
  })
})

describe('version 2.0', () => {
  test('a token for a tenant, tenants', async () => {
    const post = (auth: object) => house.server.request('POST', '/identity/v2.0/tokens', { as: null, body: { auth } })
    const { status, body } = await post({ passwordCredentials: { username: 'demo', password: PASSWORDS.demo }, tenantName: 'demo' })
    assert.equal(status, 200)
    assert.equal(body.access.token.tenant.name, 'demo')
    assert.equal(body.access.serviceCatalog.find((one: any) => one.type === 'compute').endpoints[0].publicURL, `${URL}/compute/v2.1`)
    const tenants = await house.server.request('GET', '/identity/v2.0/tenants', { as: body.access.token.id })
    assert.deepEqual(
      tenants.body.tenants.map((one: any) => one.name),
      ['demo'],
    )
    const again = await post({ token: { id: body.access.token.id }, tenantId: body.access.token.tenant.id })
    assert.equal(again.body.access.user.name, 'demo')
    assert.equal((await post({ passwordCredentials: { username: 'demo', password: 'x' } })).status, 401)
    assert.equal((await post({})).status, 400)
  })
})
