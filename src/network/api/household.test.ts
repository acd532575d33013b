import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
})
after(() => house.close())

describe('quotas', () => {
  const path = `/quotas/${OTHER}`

  test('the usual ones, changed ones, and back again', async () => {
    const usual = (await house.request('GET', `${path}.json`, { as: 'other' })).body.quota
    assert.deepEqual(usual, {
      network: 10,
      subnet: 10,
      port: 50,
      router: 10,
      floatingip: 50,
      security_group: 10,
      security_group_rule: 100,
      rbac_policy: 10,
      subnetpool: -1,
    })
    assert.equal((await house.request('PUT', path, { as: 'other', body: { quota: { network: 5 } } })).status, 403)
    assert.equal((await house.request('GET', `/quotas/${DEMO}`, { as: 'other' })).status, 403)
    const changed = await house.request('PUT', path, { body: { quota: { network: '5', router: -1 } } })
    assert.deepEqual([changed.body.quota.network, changed.body.quota.router], [5, -1])
    assert.equal((await house.client.quota(OTHER)).network, 5)
    assert.deepEqual(
      (await house.request('GET', '/quotas')).body.quotas.map((one: any) => one.project_id),
      [OTHER],
    )
    assert.equal((await house.request('GET', `${path}/default`)).body.quota.network, 10)
    for (const quota of [{ unicorn: 1 }, { network: 'many' }, { network: -2 }, 7])
      assert.equal((await house.request('PUT', path, { body: { quota } })).status, 400, JSON.stringify(quota))
    assert.equal((await house.request('DELETE', path)).status, 204)
    assert.equal((await house.request('DELETE', path)).status, 404)
  })

  test('of many at once exactly as many are made as are allowed', async () => {
    await house.request('PUT', path, { body: { quota: { network: 3 } } })
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => house.request('POST', '/networks', { as: 'other', body: { network: {} } })),
    )
    assert.equal(answers.filter((answer) => answer.status === 201).length, 3)
    const refused = answers.find((answer) => answer.status === 409)!
    assert.deepEqual(refused.body.NeutronError, { type: 'OverQuota', message: "Quota exceeded for resources: ['network'].", detail: '' })
    const { network } = (await house.request('GET', `${path}/details.json`)).body.quota
    assert.deepEqual(network, { used: 3, limit: 3, reserved: 0 })
  })
})

describe('agents', () => {
  test('those that report are listed alive, changed and forgotten', async () => {
    assert.deepEqual((await house.request('GET', '/agents')).body.agents, [])
    await Promise.all([house.agents(), house.agents()])
    const { agents } = (await house.request('GET', '/agents')).body
    assert.equal(agents.length, 3)
    assert.ok(agents.every((agent: any) => agent.alive && agent.host === 'one'))
    const [l3] = (await house.request('GET', '/agents?agent_type=L3 agent')).body.agents
    const change = await house.request('PUT', `/agents/${l3.id}`, { body: { agent: { description: 'in the cellar' } } })
    assert.equal(change.body.agent.description, 'in the cellar')
    assert.equal((await house.request('DELETE', `/agents/${l3.id}`)).status, 204)
    assert.equal((await house.request('GET', `/agents/${l3.id}`)).status, 404)
    assert.deepEqual((await house.request('GET', '/agents', { as: 'member' })).body.agents, [], 'nobody else sees any')
    assert.equal((await house.request('GET', `/agents/${agents[0].id}`, { as: 'member' })).status, 403)
  })
})

describe('discovery', () => {
  test('versions, resources, extensions, zones', async () => {
    const versions = await house.request('GET', '/../', { as: null })
    assert.deepEqual(versions.body.versions[0].id, 'v2.0')
    assert.match(versions.body.versions[0].links[0].href, /\/network\/v2\.0\/$/)
    assert.ok((await house.request('GET', '', { as: null })).body.resources.length > 5)
    const aliases = (await house.client.extensions()).map((one) => one.alias)
    for (const alias of ['router', 'security-group', 'binding', 'quotas', 'external-net']) assert.ok(aliases.includes(alias), alias)
    assert.equal((await house.request('GET', '/extensions/router.json')).body.extension.alias, 'router')
    assert.equal((await house.request('GET', '/extensions/qos')).status, 404)
    assert.equal((await house.request('GET', '/trunks')).status, 404)
    assert.equal((await house.request('GET', '/availability_zones')).body.availability_zones.length, 2)
    assert.deepEqual((await house.request('GET', '/service-providers')).body.service_providers, [])
  })
})
