import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
before(async () => {
  house = await identityHouse()
})
after(() => house.close())

const names = async (path: string) => {
  const { status, body } = await house.ask('GET', path)
  assert.equal(status, 200, path)
  return body
}

test('a role brings another with it, until it does no more', async () => {
  const [prior, implied] = [await house.make('role', { name: 'captain' }), await house.make('role', { name: 'sailor' })]
  const path = `/roles/${prior.id}/implies/${implied.id}`
  assert.equal((await house.ask('GET', path)).status, 404)
  const { status, body } = await house.ask('PUT', path)
  assert.deepEqual([status, body.role_inference.prior_role.name, body.role_inference.implies.name], [201, 'captain', 'sailor'])
  assert.equal((await house.ask('HEAD', path)).status, 204)
  assert.deepEqual(
    (await names(`/roles/${prior.id}/implies`)).role_inference.implies.map((one: any) => one.name),
    ['sailor'],
  )
  const all = (await names('/role_inferences')).role_inferences.map((one: any) => one.prior_role.name)
  assert.deepEqual(all.sort(), ['admin', 'captain', 'manager', 'member'])
  const { users } = await names('/users?name=demo')
  const { projects } = await names('/projects?name=demo')
  await house.ask('PUT', `/projects/${projects[0].id}/users/${users[0].id}/roles/${prior.id}`)
  const roles = async () => {
    const { body } = await house.login({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
    return body.token.roles.map((role: any) => role.name)
  }
  assert.ok((await roles()).includes('sailor'))
  assert.equal((await house.ask('DELETE', path)).status, 204)
  assert.equal((await house.ask('DELETE', path)).status, 404)
  assert.ok(!(await roles()).includes('sailor'))
  assert.equal((await house.ask('PUT', `/roles/${prior.id}/implies/none`)).status, 404)
  const token = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
  for (const [method, address] of [
    ['PUT', path],
    ['GET', '/role_inferences'],
    ['DELETE', path],
  ])
    assert.equal((await house.ask(method!, address!, { token })).status, 403)
})

test('roles are given to be inherited by the projects below', async () => {
  const domain = await house.make('domain', { name: 'tree' })
  const user = await house.make('user', { name: 'heir', password: 'heir-pass', domain_id: domain.id })
  const project = await house.make('project', { name: 'leaf', domain_id: domain.id })
  const role = (await names('/roles?name=member')).roles[0]
  const base = `/OS-INHERIT/domains/${domain.id}/users/${user.id}/roles`
  const path = `${base}/${role.id}/inherited_to_projects`
  assert.equal((await house.ask('GET', path)).status, 404)
  assert.equal((await house.ask('PUT', path)).status, 204)
  assert.equal((await house.ask('GET', path)).status, 204)
  assert.deepEqual(
    (await names(`${base}/inherited_to_projects`)).roles.map((one: any) => one.name),
    ['member'],
  )
  assert.deepEqual((await names(`/domains/${domain.id}/users/${user.id}/roles`)).roles, [], 'the domain itself is another thing')
  const login = () => house.login({ id: user.id, password: 'heir-pass', scope: { project: { id: project.id } } })
  assert.equal((await login()).status, 201)
  const [given] = (await names(`/role_assignments?user.id=${user.id}`)).role_assignments
  assert.equal(given.scope['OS-INHERIT:inherited_to'], 'projects')
  assert.match(given.links.assignment, /\/OS-INHERIT\/domains\/.*\/inherited_to_projects$/)
  assert.equal((await house.ask('DELETE', path)).status, 204)
  assert.equal((await login()).status, 401)
  assert.equal((await house.ask('PUT', path.replace(domain.id, 'none'))).status, 404)
})

test('roles of a domain are listed with it alone; regions have the id one gives, and parents', async () => {
  const domain = await house.make('domain', { name: 'roles' })
  const role = await house.make('role', { name: 'local', domain_id: domain.id })
  const listed = async (query: string) => (await names(`/roles${query}`)).roles.map((one: any) => one.id)
  assert.deepEqual(await listed(`?domain_id=${domain.id}`), [role.id])
  assert.ok(!(await listed('')).includes(role.id))
  assert.equal((await house.ask('PUT', '/regions/north', { body: { region: { description: 'd' } } })).status, 201)
  assert.equal((await house.ask('PUT', '/regions/north', { body: { region: {} } })).status, 409)
  assert.equal((await house.ask('POST', '/regions', { body: { region: { id: 'n1', parent_region_id: 'north' } } })).status, 201)
  assert.deepEqual(
    (await names('/regions?parent_region_id=north')).regions.map((one: any) => one.id),
    ['n1'],
  )
  assert.equal((await house.ask('POST', '/projects', { body: { project: { name: 'x'.repeat(65) } } })).status, 400)
  for (const enabled of ['True', 'true', '1']) assert.ok((await names(`/projects?enabled=${enabled}`)).projects.length > 2)
  assert.deepEqual((await names('/projects?enabled=False')).projects, [])
  assert.equal((await house.ask('GET', '/projects?enabled=maybe')).status, 400)
})
