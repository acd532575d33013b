import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
let member: string
before(async () => {
  house = await identityHouse()
  member = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
})
after(() => house.close())

const names = async (path: string, token?: string) => {
  const { body } = await house.ask('GET', path, { token })
  return (Object.values(body)[0] as any[]).map((one) => one.name)
}

describe('the directory', () => {
  const nouns: [noun: string, fields: object, change: object, wrong: object[]][] = [
    [
      'project',
      { name: 'p1', description: 'one' },
      { description: 'two' },
      [{}, { name: '' }, { name: 5 }, { name: 'x', enabled: 'maybe' }, { name: 'x'.repeat(256) }],
    ],
    ['domain', { name: 'd1' }, { enabled: false }, [{}, { name: ' ' }]],
    ['user', { name: 'u1', password: 'secret', email: 'u@example.org' }, { email: null }, [{}, { name: [] }, { name: 'x', enabled: 1 }]],
    ['group', { name: 'g1' }, { description: 'all' }, [{}]],
    ['role', { name: 'r1' }, { description: 'why' }, [{}]],
    ['service', { type: 't1', name: 's1' }, { enabled: false }, [{}, { type: '' }]],
    ['region', { id: 'R1' }, { description: 'far' }, [{ id: 5 }]],
  ]
  for (const [noun, fields, change, wrong] of nouns)
    test(`${noun}s: create, show, list, change, delete; members may not`, async () => {
      const made = await house.make(noun, fields)
      const at = `/${noun}s/${made.id}`
      assert.partialDeepStrictEqual(made, Object.fromEntries(Object.entries(fields).filter(([name]) => name !== 'password')))
      assert.equal(made.password, undefined)
      assert.ok(made.links.self.endsWith(`/identity/v3${at}`))
      assert.deepEqual((await house.ask('GET', at)).body[noun], made)
      assert.ok((await house.ask('GET', `/${noun}s`)).body[`${noun}s`].some((one: any) => one.id === made.id))
      const changed = await house.ask('PATCH', at, { body: { [noun]: change } })
      assert.equal(changed.status, 200)
      for (const [name, value] of Object.entries(change)) assert.equal(changed.body[noun][name] ?? null, value)
      for (const body of wrong)
        assert.equal((await house.ask('POST', `/${noun}s`, { body: { [noun]: body } })).status, 400, JSON.stringify(body))
      assert.equal((await house.ask('POST', `/${noun}s`, { body: {} })).status, 400)
      const sneaky = { ...change, id: 'default', password_hash: 'x', options: {}, tags: [], nonsense: true }
      assert.equal((await house.ask('PATCH', at, { body: { [noun]: sneaky } })).status, 200)
      assert.equal((await house.ask('GET', at)).body[noun].id, made.id)
      for (const [method, path] of [
        ['POST', `/${noun}s`],
        ['PATCH', at],
        ['DELETE', at],
      ] as const)
        assert.equal((await house.ask(method, path, { token: member, body: { [noun]: fields } })).status, 403, `${method} ${path}`)
      assert.equal((await house.ask('DELETE', at)).status, 204)
      for (const [method, body] of [
        ['GET', undefined],
        ['PATCH', { [noun]: change }],
        ['DELETE', undefined],
      ] as const)
        assert.equal((await house.ask(method, at, { body })).status, 404, method)
    })

  test('names are taken once, also by many at the same time', async () => {
    for (const noun of ['project', 'user', 'group', 'role']) {
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => house.ask('POST', `/${noun}s`, { body: { [noun]: { name: 'same' } } })),
      )
      assert.deepEqual(answers.map((one) => one.status).toSorted(), [201, 409, 409, 409, 409], noun)
      const other = await house.make(noun, { name: 'another' })
      assert.equal((await house.ask('PATCH', `/${noun}s/${other.id}`, { body: { [noun]: { name: 'same' } } })).status, 409, noun)
    }
    const domain = await house.make('domain', { name: 'elsewhere' })
    assert.equal((await house.make('user', { name: 'same', domain_id: domain.id })).domain_id, domain.id)
  })

  test('an id cannot be chosen; domains and parents must be there', async () => {
    assert.notEqual((await house.make('project', { name: 'chosen', id: 'default' })).id, 'default')
    for (const [noun, fields] of [
      ['project', { domain_id: 'nowhere' }],
      ['project', { parent_id: 'nowhere' }],
      ['user', { domain_id: 'nowhere' }],
      ['group', { domain_id: 'nowhere' }],
    ] as const)
      assert.equal((await house.ask('POST', `/${noun}s`, { body: { [noun]: { name: 'lost', ...fields } } })).status, 404)
    const parent = await house.make('project', { name: 'parent' })
    const child = await house.make('project', { name: 'child', parent_id: parent.id })
    assert.equal(child.parent_id, parent.id)
    assert.equal((await house.ask('DELETE', `/projects/${parent.id}`)).status, 403)
    assert.deepEqual(await names(`/projects?parent_id=${parent.id}`), ['child'])
  })

  test('a domain goes when it is disabled, with all in it', async () => {
    const domain = await house.make('domain', { name: 'doomed' })
    const user = await house.make('user', { name: 'doomed', domain_id: domain.id, password: 'x' })
    const project = await house.make('project', { name: 'doomed', domain_id: domain.id })
    assert.equal((await house.ask('DELETE', `/domains/${domain.id}`)).status, 403)
    await house.ask('PATCH', `/domains/${domain.id}`, { body: { domain: { enabled: false } } })
    assert.equal((await house.ask('DELETE', `/domains/${domain.id}`)).status, 204)
    assert.equal((await house.ask('GET', `/users/${user.id}`)).status, 404)
    assert.equal((await house.ask('GET', `/projects/${project.id}`)).status, 404)
  })

  test('users see and change themselves, others not', async () => {
    const user = await house.make('user', { name: 'eve', password: 'old' })
    const demo = (await house.ask('GET', '/users?name=demo')).body.users[0]
    const project = (await house.ask('GET', '/projects?name=demo')).body.projects[0]
    assert.equal((await house.ask('GET', `/users/${demo.id}`, { token: member })).status, 200)
    assert.equal((await house.ask('GET', `/users/${user.id}`, { token: member })).status, 403)
    assert.equal((await house.ask('GET', '/users', { token: member })).status, 403)
    assert.equal((await house.ask('GET', `/projects/${project.id}`, { token: member })).status, 200)
    assert.deepEqual(await names(`/users/${demo.id}/projects`, member), ['demo'])
    const eve = await house.token({ name: 'eve', password: 'old' })
    const change = (original: string, token: string) =>
      house.ask('POST', `/users/${user.id}/password`, { token, body: { user: { original_password: original, password: 'new' } } })
    assert.equal((await change('wrong', eve)).status, 401)
    assert.equal((await change('old', eve)).status, 204)
    assert.equal((await house.ask('GET', '/auth/catalog', { token: eve })).status, 401)
    assert.equal((await house.login({ name: 'eve', password: 'old' })).status, 401)
    assert.equal((await house.login({ name: 'eve', password: 'new' })).status, 201)
  })

  test('attributes of others are kept with groups and roles, and a description may be none', async () => {
    for (const noun of ['group', 'role']) {
      const made = await house.make(noun, { name: `kept-${noun}`, colour: 'green', size: { w: 1 } })
      assert.deepEqual([made.colour, made.size], ['green', { w: 1 }])
      const at = `/${noun}s/${made.id}`
      const change = async (fields: object) => (await house.ask('PATCH', at, { body: { [noun]: fields } })).body[noun]
      assert.partialDeepStrictEqual(await change({ colour: 'blue', shape: 'round', description: 'why' }), {
        description: 'why',
        colour: 'blue',
        shape: 'round',
        size: { w: 1 },
      })
      assert.equal((await change({ description: null })).description, null)
      const shown = (await house.ask('GET', at)).body[noun]
      assert.deepEqual([shown.description, shown.colour], [null, 'blue'])
      assert.deepEqual(
        (await house.ask('GET', `/${noun}s?name=kept-${noun}`)).body[`${noun}s`].map((one: any) => one.colour),
        ['blue'],
      )
      assert.equal((await change({ description: 'again' })).description, 'again')
      assert.equal((await house.ask('PATCH', at, { body: { [noun]: { description: 5 } } })).status, 400)
      assert.equal((await house.make(noun, { name: `none-${noun}`, description: null })).description, null)
    }
    assert.equal((await house.make('group', { name: 'said nothing' })).description, '')
  })

  test('filters', async () => {
    assert.deepEqual(await names('/users?name=admin'), ['admin'])
    assert.deepEqual(await names('/users?enabled=false'), [])
    assert.deepEqual(await names('/services?type=image'), ['glance'])
    assert.ok((await names('/projects?is_domain=true')).includes('Default'))
    const glance = (await house.ask('GET', '/services?name=glance')).body.services[0]
    const endpoints = (await house.ask('GET', `/endpoints?service_id=${glance.id}&interface=public`)).body.endpoints
    assert.equal(endpoints.length, 1)
    assert.equal((await house.ask('GET', '/users?enabled=perhaps')).status, 400)
  })

  test('endpoints show in the catalog at once, and go with their service', async () => {
    const service = await house.make('service', { type: 'dns', name: 'designate' })
    const endpoint = await house.make('endpoint', {
      service_id: service.id,
      interface: 'public',
      url: 'http://dns/$(project_id)s/%(tenant_id)s/$(user_id)s',
      region: 'Far',
    })
    const shown = async () => (await house.ask('GET', '/auth/catalog')).body.catalog.find((one: any) => one.type === 'dns')
    assert.match((await shown()).endpoints[0].url, /^http:\/\/dns\/([0-9a-f]{32})\/\1\/(?!\1)[0-9a-f]{32}$/)
    const at = `/endpoints/${endpoint.id}`
    const change = (fields: object) => house.ask('PATCH', at, { body: { endpoint: fields } })
    assert.equal((await change({ service_id: 'nowhere' })).status, 404)
    assert.equal((await change({ interface: 'sideways' })).status, 400)
    assert.equal((await change({ url: 'http://dns/%(moon)s' })).status, 400)
    assert.equal((await change({ region: 'Near', name: 'ignored' })).body.endpoint.region_id, 'Near')
    assert.equal((await change({ enabled: false })).status, 200)
    assert.equal(await shown(), undefined)
    assert.equal((await house.ask('DELETE', `/services/${service.id}`)).status, 204)
    assert.equal((await house.ask('GET', at)).status, 404)
  })
})

describe('groups and grants', () => {
  test('a role by group counts; taken out of the group it does not', async () => {
    const user = await house.make('user', { name: 'gina', password: 'x' })
    const group = await house.make('group', { name: 'crew' })
    const project = await house.make('project', { name: 'ship' })
    const reader = (await house.ask('GET', '/roles?name=reader')).body.roles[0]
    const inGroup = `/groups/${group.id}/users/${user.id}`
    const gina = { name: 'gina', password: 'x', scope: onProject('ship') }
    assert.equal((await house.ask('GET', inGroup)).status, 404)
    assert.equal((await house.ask('PUT', inGroup)).status, 204)
    assert.equal((await house.ask('PUT', inGroup)).status, 204)
    assert.equal((await house.ask('HEAD', inGroup)).status, 204)
    assert.deepEqual(await names(`/groups/${group.id}/users`), ['gina'])
    assert.deepEqual(await names(`/users/${user.id}/groups`), ['crew'])
    assert.equal((await house.login(gina)).status, 401)
    assert.equal((await house.ask('PUT', `/projects/${project.id}/groups/${group.id}/roles/${reader.id}`)).status, 204)
    const token = await house.token(gina)
    assert.deepEqual(await names('/auth/projects', token), ['ship'])
    const effective = await house.ask('GET', `/role_assignments?user.id=${user.id}&effective&include_names`)
    assert.equal(effective.body.role_assignments[0].scope.project.name, 'ship')
    assert.equal((await house.ask('DELETE', inGroup)).status, 204)
    assert.equal((await house.ask('DELETE', inGroup)).status, 404)
    assert.equal((await house.ask('GET', '/auth/projects', { token })).status, 401)
  })

  for (const target of ['projects', 'domains', 'system'])
    test(`grants on ${target}`, async () => {
      const user = await house.make('user', { name: `on-${target}`, password: 'x' })
      const role = await house.make('role', { name: `role-${target}` })
      const id = target === 'domains' ? 'default' : (await house.ask('GET', '/projects?name=demo')).body.projects[0].id
      const base = target === 'system' ? `/system/users/${user.id}/roles` : `/${target}/${id}/users/${user.id}/roles`
      const at = `${base}/${role.id}`
      assert.equal((await house.ask('HEAD', at)).status, 404)
      const twice = await Promise.all([house.ask('PUT', at), house.ask('PUT', at)])
      assert.deepEqual(
        twice.map((one) => one.status),
        [204, 204],
      )
      assert.equal((await house.ask('HEAD', at)).status, 204)
      const listed = await house.ask('GET', base)
      assert.deepEqual([listed.body.roles[0].name, listed.body.links.self.endsWith(base)], [role.name, true])
      const assigned = (await house.ask('GET', `/role_assignments?role.id=${role.id}&include_names=true`)).body.role_assignments
      assert.equal(assigned[0].user.name, user.name)
      assert.ok(assigned[0].links.assignment.endsWith(at))
      assert.equal((await house.ask('PUT', at, { token: member })).status, 403)
      assert.equal((await house.ask('PUT', `${base}/nowhere`)).status, 404)
      assert.equal((await house.ask('PUT', at.replace(user.id, 'nobody'))).status, 404)
      for (const lost of [
        base.replace(user.id, 'nobody'),
        base.replace('users', 'groups'),
        ...(target === 'system' ? [] : [base.replace(id, 'nowhere')]),
      ])
        assert.equal((await house.ask('GET', lost)).status, 404, lost)
      assert.equal((await house.ask('DELETE', at)).status, 204)
      assert.equal((await house.ask('DELETE', at)).status, 404)
    })

  test('who reads for a domain sees what is in it and nothing else', async () => {
    const domain = await house.make('domain', { name: 'island' })
    const user = await house.make('user', { name: 'islander', domain_id: domain.id, password: 'x' })
    const reader = (await house.ask('GET', '/roles?name=reader')).body.roles[0]
    await house.ask('PUT', `/domains/${domain.id}/users/${user.id}/roles/${reader.id}`)
    const token = await house.token({ id: user.id, password: 'x', scope: { domain: { id: domain.id } } })
    assert.deepEqual(await names('/users', token), ['islander'])
    assert.deepEqual(await names(`/users?domain_id=${domain.id}`, token), ['islander'])
    assert.equal((await house.ask('GET', '/users?domain_id=default', { token })).status, 403)
    assert.deepEqual(await names('/projects', token), [])
    for (const path of ['/role_assignments', '/domains', '/projects?domain_id=default', `/system/users/${user.id}/roles`])
      assert.equal((await house.ask('GET', path, { token })).status, 403, path)
  })
})
