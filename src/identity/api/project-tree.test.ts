import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { identityHouse } from '../testing.ts'

describe('projects below others', () => {
  eachDatabaseUrl((fresh) => {
    const asked = async (t: TestContext) => {
      const house = await identityHouse({ databaseUrl: await fresh() })
      t.after(() => house.close())
      let count = 0
      return {
        house,
        make: (fields: object = {}) => house.make('project', { name: `branch-${count++}`, ...fields }),
        patch: async (id: string, fields: object) => (await house.ask('PATCH', `/projects/${id}`, { body: { project: fields } })).status,
      }
    }

    test('a project is disabled when all below it are, and enabled when all above it are', async (t) => {
      const { house, make, patch } = await asked(t)
      const top = await make()
      const middle = await make({ parent_id: top.id })
      const low = await make({ parent_id: middle.id })
      assert.equal(await patch(top.id, { enabled: false }), 403)
      assert.equal(await patch(low.id, { enabled: false }), 200)
      assert.equal(await patch(top.id, { enabled: false }), 403, 'the one between is enabled')
      assert.equal(await patch(middle.id, { enabled: false }), 200)
      assert.equal(await patch(top.id, { enabled: false }), 200)
      assert.equal(await patch(low.id, { enabled: true }), 403)
      assert.equal(await patch(low.id, { enabled: false, description: 'still off' }), 200)
      const refused = await house.ask('POST', '/projects', { body: { project: { name: 'new', parent_id: middle.id } } })
      assert.deepEqual(
        [refused.status, refused.body.error.message],
        [400, `A project cannot be made below ${middle.id}, which is disabled.`],
      )
      for (const one of [top, middle, low]) assert.equal(await patch(one.id, { enabled: true }), 200)
    })

    test('a domain is disabled whatever is in it', async (t) => {
      const { house, make, patch } = await asked(t)
      const domain = await house.make('domain', { name: 'with-a-project' })
      const inside = await make({ domain_id: domain.id })
      assert.equal((await house.ask('PATCH', `/domains/${domain.id}`, { body: { domain: { enabled: false } } })).status, 200)
      assert.equal(await patch(inside.id, { description: 'as before' }), 200)
      assert.equal((await house.ask('POST', '/projects', { body: { project: { name: 'new', domain_id: domain.id } } })).status, 400)
    })

    test('a project stays where it is', async (t) => {
      const { make, patch } = await asked(t)
      const [one, other] = [await make(), await make()]
      assert.equal(await patch(one.id, { parent_id: other.id }), 403)
      assert.equal(await patch(one.id, { domain_id: other.id }), 400)
      assert.equal(await patch(one.id, { is_domain: true }), 400)
      const same = { parent_id: one.parent_id, domain_id: one.domain_id, is_domain: false }
      assert.equal(await patch(one.id, same), 200)
    })
  })
})
