import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
before(async () => {
  house = await identityHouse()
})
after(() => house.close())

test('a project has tags: one by one, all at once, and in lists that are filtered by them', async () => {
  const one = await house.make('project', { name: 'one', tags: ['a', 'c', 'b'] })
  const two = await house.make('project', { name: 'two', tags: ['b'] })
  assert.deepEqual(one.tags, ['a', 'c', 'b'])
  const at = `/projects/${one.id}/tags`
  const tags = async () => (await house.ask('GET', at)).body.tags
  const put = await house.ask('PUT', `${at}/d`)
  assert.deepEqual([put.status, put.body], [201, undefined])
  assert.ok(String(put.headers.location).endsWith(`${at}/d`))
  assert.equal((await house.ask('PUT', `${at}/d`)).status, 201)
  assert.deepEqual(await tags(), ['a', 'c', 'b', 'd'])
  assert.equal((await house.ask('HEAD', `${at}/d`)).status, 204)
  assert.equal((await house.ask('DELETE', `${at}/d`)).status, 204)
  for (const method of ['GET', 'DELETE']) assert.equal((await house.ask(method, `${at}/d`)).status, 404)
  const found = async (query: string) =>
    (await house.ask('GET', `/projects?${query}`)).body.projects
      .map((project: any) => project.id)
      .filter((id: string) => [one.id, two.id].includes(id))
  for (const [query, expected] of [
    ['tags=a,b', [one.id]],
    ['tags-any=c,b', [one.id, two.id]],
    ['not-tags=a,b', [two.id]],
    ['not-tags-any=a', [two.id]],
  ] as const)
    assert.deepEqual(await found(query), expected, query)
  assert.deepEqual((await house.ask('PUT', at, { body: { tags: ['x', 'y'] } })).body.tags, ['x', 'y'])
  for (const wrong of [['x', 'x'], ['a,b'], ['a/b'], [''], ['x'.repeat(256)], Array.from({ length: 81 }, (_, i) => `t${i}`), 'x'])
    assert.equal((await house.ask('PUT', at, { body: { tags: wrong } })).status, 400, JSON.stringify(wrong).slice(0, 30))
  assert.deepEqual((await house.ask('PATCH', `/projects/${one.id}`, { body: { project: { tags: ['z'] } } })).body.project.tags, ['z'])
  assert.equal((await house.ask('DELETE', at)).status, 204)
  assert.deepEqual(await tags(), [])
})

test('tags that come at once all stay; whoever is on the project sees them and changes none', async () => {
  const [project] = (await house.ask('GET', '/projects?name=demo')).body.projects
  const at = `/projects/${project.id}/tags`
  await Promise.all(Array.from({ length: 8 }, (_, i) => house.ask('PUT', `${at}/t${i}`)))
  const token = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
  assert.equal((await house.ask('GET', at, { token })).body.tags.length, 8)
  assert.equal((await house.ask('GET', `${at}/t1`, { token })).status, 204)
  const other = await house.make('project', { name: 'elsewhere', tags: ['t'] })
  assert.equal((await house.ask('GET', `/projects/${other.id}/tags`, { token })).status, 403)
  for (const [method, path, body] of [
    ['PUT', at, { tags: [] }],
    ['DELETE', at],
    ['PUT', `${at}/t1`],
    ['DELETE', `${at}/t1`],
  ] as const)
    assert.equal((await house.ask(method, path, { token, body })).status, 403, `${method} ${path}`)
})

test('what identity has no use for is kept of projects, domains and users, and shown before nothing of its own', async () => {
  for (const [noun, fields] of [
    ['project', {}],
    ['domain', { enabled: false }],
    ['user', { password: 'secret' }],
  ] as const) {
    const made = await house.make(noun, {
      name: `extra-${noun}`,
      colour: 'red',
      project_id: 'p',
      id: 'mine',
      links: {},
      original_password: 'of-before',
      ...fields,
    })
    assert.partialDeepStrictEqual(made, { colour: 'red', project_id: 'p', name: `extra-${noun}` })
    assert.notEqual(made.id, 'mine')
    assert.ok(!('original_password' in made))
    const at = `/${noun}s/${made.id}`
    const changed = (await house.ask('PATCH', at, { body: { [noun]: { shape: 'round' } } })).body[noun]
    assert.partialDeepStrictEqual(changed, { colour: 'red', shape: 'round' })
    assert.deepEqual((await house.ask('GET', at)).body[noun], changed)
  }
})

test('a project that acts as a domain is shown, changed and deleted as either', async () => {
  const made = await house.make('project', { name: 'both', is_domain: true, domain_id: null })
  assert.deepEqual([made.is_domain, made.domain_id, made.parent_id], [true, null, null])
  assert.equal((await house.ask('GET', `/projects/${made.id}`)).body.project.is_domain, true)
  assert.equal((await house.ask('GET', `/domains/${made.id}`)).status, 200)
  assert.equal((await house.ask('DELETE', `/projects/${made.id}`)).status, 403)
  assert.equal((await house.ask('PATCH', `/projects/${made.id}`, { body: { project: { enabled: false } } })).status, 200)
  assert.equal((await house.ask('DELETE', `/projects/${made.id}`)).status, 204)
  assert.equal((await house.ask('GET', `/domains/${made.id}`)).status, 404)
})

test('policy documents are kept as they are; members have no business with them', async () => {
  const made = (await house.ask('POST', '/policies', { body: { policy: { type: 'application/json', blob: '{"a": "@"}' } } })).body.policy
  const at = `/policies/${made.id}`
  assert.deepEqual([made.type, made.blob], ['application/json', '{"a": "@"}'])
  assert.equal((await house.ask('PATCH', at, { body: { policy: { type: 'text' } } })).body.policy.type, 'text')
  assert.deepEqual((await house.ask('GET', at)).body.policy.blob, '{"a": "@"}')
  assert.equal((await house.ask('GET', '/policies?type=text')).body.policies.length, 1)
  assert.equal((await house.ask('GET', '/policies?type=none')).body.policies.length, 0)
  assert.equal((await house.ask('POST', '/policies', { body: { policy: { type: 'x' } } })).status, 400)
  const token = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
  assert.equal((await house.ask('GET', at, { token })).status, 403)
  assert.equal((await house.ask('DELETE', at)).status, 204)
  assert.equal((await house.ask('GET', at)).status, 404)
})
