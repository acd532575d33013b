import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse, onProject, PASSWORDS } from '../testing.ts'

let house: IdentityHouse
before(async () => {
  house = await identityHouse()
})
after(() => house.close())

/** A domain with a tree of three projects, and somebody there. */
async function tree(name: string) {
  const domain = await house.make('domain', { name })
  const project = (leaf: string, parent?: string) =>
    house.make('project', { name: `${name}-${leaf}`, domain_id: domain.id, ...(parent ? { parent_id: parent } : {}) })
  const root = await project('root')
  const trunk = await project('trunk', root.id)
  const leaf = await project('leaf', trunk.id)
  const user = await house.make('user', { name, domain_id: domain.id, password: 'pass-of-all' })
  return { domain, root, trunk, leaf, user }
}

const effects = async (query: string) => (await house.ask('GET', `/role_assignments?effective&${query}`)).body.role_assignments
const rolesOn = async (user: { id: string }, project: { id: string }) => {
  const { status, body } = await house.login({ id: user.id, password: 'pass-of-all', scope: { project: { id: project.id } } })
  return status === 201 ? body.token.roles.map((role: any) => role.name).sort() : status
}

describe('what comes of assignments', () => {
  test('a role is inherited by all projects below, however deep, and not by the one it is given on', async () => {
    const { domain, root, trunk, leaf, user } = await tree('deep')
    const role = await house.make('role', { name: 'gardener' })
    const at = `/OS-INHERIT/projects/${root.id}/users/${user.id}/roles/${role.id}/inherited_to_projects`
    await house.ask('PUT', at)
    const where = async () => (await effects(`user.id=${user.id}`)).map((one: any) => one.scope.project.id).sort()
    assert.deepEqual(await where(), [trunk.id, leaf.id].sort())
    assert.deepEqual([await rolesOn(user, root), await rolesOn(user, trunk), await rolesOn(user, leaf)], [401, ['gardener'], ['gardener']])
    const reach = (await house.ask('GET', `/users/${user.id}/projects`)).body.projects.map((one: any) => one.id).sort()
    assert.deepEqual(reach, [trunk.id, leaf.id].sort())
    const [one] = await effects(`user.id=${user.id}&scope.project.id=${leaf.id}`)
    assert.equal(one.scope['OS-INHERIT:inherited_to'], 'projects')
    assert.ok(one.links.assignment.endsWith(at))
    await house.ask('DELETE', at)
    assert.deepEqual(await where(), [])
    await house.ask('PUT', at.replace(`projects/${root.id}`, `domains/${domain.id}`))
    assert.deepEqual(await where(), [root.id, trunk.id, leaf.id].sort())
  })

  test('a role through a group is the user’s, with those that it implies; who brings it is told', async () => {
    const { leaf, user } = await tree('grouped')
    const group = await house.make('group', { name: 'crew-of-all' })
    const [prior, implied] = [await house.make('role', { name: 'mate' }), await house.make('role', { name: 'hand' })]
    await house.ask('PUT', `/groups/${group.id}/users/${user.id}`)
    await house.ask('PUT', `/projects/${leaf.id}/groups/${group.id}/roles/${prior.id}`)
    await house.ask('PUT', `/roles/${prior.id}/implies/${implied.id}`)
    const found = await effects(`user.id=${user.id}&include_names`)
    assert.deepEqual(
      found.map((one: any) => [one.user.name, one.role.name]),
      [
        ['grouped', 'mate'],
        ['grouped', 'hand'],
      ],
    )
    const [direct, by] = found
    assert.ok(direct.links.membership.endsWith(`/groups/${group.id}/users/${user.id}`))
    assert.equal(direct.links.prior_role, undefined)
    assert.ok(by.links.prior_role.endsWith(`/${prior.id}/implies/${implied.id}`))
    assert.ok(by.links.assignment.endsWith(`/projects/${leaf.id}/groups/${group.id}/roles/${prior.id}`))
    assert.equal((await effects(`role.id=${implied.id}`)).length, 1)
    assert.deepEqual((await house.ask('GET', `/role_assignments?effective=0&user.id=${user.id}`)).body.role_assignments, [])
    assert.equal((await house.ask('GET', `/role_assignments?effective&group.id=${group.id}`)).status, 400)
    assert.deepEqual(await rolesOn(user, leaf), ['hand', 'mate'])
  })

  test('a domain’s own role counts by what it implies, and only in its domain', async () => {
    const { domain, leaf, user } = await tree('own')
    const { leaf: foreign } = await tree('foreign')
    const [own, plain] = [await house.make('role', { name: 'own-role', domain_id: domain.id }), await house.make('role', { name: 'plain' })]
    const on = (project: { id: string }) => house.ask('PUT', `/projects/${project.id}/users/${user.id}/roles/${own.id}`)
    assert.deepEqual([(await on(leaf)).status, (await on(foreign)).status], [204, 403])
    assert.deepEqual([await effects(`user.id=${user.id}`), await rolesOn(user, leaf)], [[], 401])
    const implies = async (prior: { id: string }, implied: { id: string }) =>
      (await house.ask('PUT', `/roles/${prior.id}/implies/${implied.id}`)).status
    assert.equal(await implies(plain, own), 403)
    assert.equal(await implies(own, plain), 201)
    assert.deepEqual(await rolesOn(user, leaf), ['plain'])
    const [admin] = (await house.ask('GET', '/roles?name=admin')).body.roles
    assert.equal(await implies(plain, admin), 403, 'nobody becomes an administrator by implication')
    assert.equal((await house.ask('PUT', `/domains/${domain.id}/users/${user.id}/roles/${own.id}`)).status, 204)
    assert.equal((await house.ask('PUT', `/domains/default/users/${user.id}/roles/${own.id}`)).status, 403)
    assert.equal((await house.ask('PUT', `/domains/${leaf.id}/users/${user.id}/roles/${plain.id}`)).status, 404, 'a project is no domain')
  })
})

describe('a member who may not ask', () => {
  let token: string
  let known: Record<'user' | 'group' | 'project' | 'role', string>
  before(async () => {
    token = await house.token({ name: 'demo', password: PASSWORDS.demo, scope: onProject('demo') })
    const made = async (noun: string) => (await house.make(noun, { name: `known-${noun}` })).id as string
    known = { user: await made('user'), group: await made('group'), project: await made('project'), role: await made('role') }
  })
  const status = async (method: string, path: string, as = token) => (await house.ask(method, path, { token: as })).status

  test('is refused the same of a user who is there and of one who is not; an administrator hears which', async () => {
    for (const path of ['', '/groups', '/projects'])
      for (const [id, admins] of [
        [known.user, 200],
        ['nobody', 404],
      ] as const)
        assert.deepEqual(
          [await status('GET', `/users/${id}${path}`), await status('GET', `/users/${id}${path}`, house.admin)],
          [403, admins],
          `${id}${path}`,
        )
    assert.equal(await status('DELETE', '/users/nobody'), 403)
  })

  test('hears of roles that somebody, something or the role is not there, as Keystone looks for them first', async () => {
    const at = (actor: string, id: string, place: string, role = '') => `${place}/${actor}s/${id}/roles${role && `/${role}`}`
    for (const actor of ['user', 'group'] as const)
      for (const place of [`/projects/${known.project}`, '/domains/default', '/system']) {
        assert.equal(await status('GET', at(actor, known[actor], place)), 403)
        assert.equal(await status('GET', at(actor, 'nobody', place)), 404)
        for (const method of ['GET', 'PUT', 'DELETE']) {
          assert.equal(await status(method, at(actor, known[actor], place, known.role)), 403)
          assert.equal(await status(method, at(actor, known[actor], place, 'none')), 404)
          assert.equal(await status(method, at(actor, 'nobody', place, known.role)), method === 'DELETE' ? 403 : 404)
          if (place !== '/system') assert.equal(await status(method, at(actor, known[actor], '/projects/nowhere', known.role)), 404)
        }
        const inherited = `/OS-INHERIT${at(actor, 'nobody', place, known.role)}/inherited_to_projects`
        if (place !== '/system') assert.equal(await status('PUT', inherited), 403)
      }
  })
})
