import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type IdentityHouse, identityHouse } from '../testing.ts'

let house: IdentityHouse
before(async () => {
  house = await identityHouse()
})
after(() => house.close())

let count = 0
const name = () => `thing-${count++}`
const patch = (noun: string, id: string, fields: object) => house.ask('PATCH', `/${noun}s/${id}`, { body: { [noun]: fields } })
const status = async (answer: Promise<{ status: number }>) => (await answer).status
const immutable = { options: { immutable: true } }

describe('what is immutable', () => {
  for (const noun of ['project', 'domain', 'role'] as const) {
    test(`${noun}: is not deleted and not changed, but for being so no more`, async () => {
      const { id, options } = await house.make(noun, { name: name(), ...immutable })
      assert.deepEqual(options, { immutable: true })
      assert.deepEqual((await house.ask('GET', `/${noun}s/${id}`)).body[noun].options, { immutable: true })
      const refused = await house.ask('DELETE', `/${noun}s/${id}`)
      assert.deepEqual([refused.status, refused.body.error.title], [403, 'Forbidden'])
      assert.match(refused.body.error.message, new RegExp(`${noun} ${id} is immutable`))
      for (const change of [
        { name: name() },
        { description: 'new' },
        { colour: 'red' },
        { options: {} },
        { options: { immutable: true } },
        { options: { immutable: false }, name: name() },
        { options: { immutable: false }, colour: 'red' },
        ...(noun === 'role' ? [] : [{ enabled: false }, { options: { immutable: null }, enabled: false }]),
      ])
        assert.equal(await status(patch(noun, id, change)), 403, JSON.stringify(change))
      const freed = await patch(noun, id, { options: { immutable: false } })
      assert.deepEqual([freed.status, freed.body[noun].options], [200, { immutable: false }])
      assert.deepEqual((await patch(noun, id, { ...immutable, description: 'new' })).body[noun].options, { immutable: true })
      assert.deepEqual((await patch(noun, id, { options: { immutable: null } })).body[noun].options, {})
      if (noun === 'domain') await patch(noun, id, { enabled: false })
      assert.equal(await status(house.ask('DELETE', `/${noun}s/${id}`)), 204)
    })

    test(`${noun}: 400 for what is no option`, async () => {
      const { id } = await house.make(noun, { name: name() })
      for (const options of [{ colour: true }, { immutable: 'yes' }, { immutable: 1 }])
        assert.equal(await status(patch(noun, id, { options })), 400, JSON.stringify(options))
    })
  }

  test('a domain is asked by either name, and goes with none of its projects while one is immutable', async () => {
    const domain = await house.make('domain', { name: name() })
    const [kept, other] = [
      await house.make('project', { name: name(), domain_id: domain.id, ...immutable }),
      await house.make('project', { name: name(), domain_id: domain.id }),
    ]
    const user = await house.make('user', { name: name(), domain_id: domain.id })
    await patch('domain', domain.id, { enabled: false })
    assert.equal(await status(house.ask('DELETE', `/domains/${domain.id}`)), 403)
    for (const path of [`projects/${kept.id}`, `projects/${other.id}`, `users/${user.id}`])
      assert.equal(await status(house.ask('GET', `/${path}`)), 200)
    await patch('domain', domain.id, immutable)
    assert.match((await patch('project', domain.id, { name: name() })).body.error.message, /domain/)
    await patch('domain', domain.id, { options: { immutable: false } })
    await patch('project', kept.id, { options: { immutable: false } })
    assert.equal(await status(house.ask('DELETE', `/domains/${domain.id}`)), 204)
  })

  test('a project keeps its tags', async () => {
    const { id } = await house.make('project', { name: name(), tags: ['a'], ...immutable })
    const at = `/projects/${id}/tags`
    for (const [method, path, body] of [
      ['PUT', at, { tags: ['b'] }],
      ['DELETE', at],
      ['PUT', `${at}/b`],
      ['PUT', `${at}/a`],
      ['DELETE', `${at}/a`],
    ] as const)
      assert.equal(await status(house.ask(method, path, { body })), 403, `${method} ${path}`)
    assert.deepEqual((await house.ask('GET', at)).body.tags, ['a'])
  })

  test('the roles with which a cloud begins are', async () => {
    for (const role of (await house.ask('GET', '/roles')).body.roles.filter((one: any) => !one.name.startsWith('thing-'))) {
      assert.deepEqual(role.options, { immutable: true }, role.name)
      assert.equal(await status(house.ask('DELETE', `/roles/${role.id}`)), 403)
    }
  })
})
