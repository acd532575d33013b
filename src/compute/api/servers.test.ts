import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { House, instanceRow } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

describe('a server', () => {
  test('is accepted with 202, its address and a password; then it is ACTIVE', async () => {
    const made = await house.ask('POST', '/servers', { body: house.wish({ metadata: { a: 'b' }, adminPass: 'secret' }) })
    assert.equal(made.status, 202)
    const { server } = made.body
    assert.deepEqual(Object.keys(server).sort(), ['OS-DCF:diskConfig', 'adminPass', 'id', 'links', 'security_groups'])
    assert.equal(server.adminPass, 'secret')
    assert.match(String(made.headers.location), new RegExp(`/servers/${server.id}$`))
    const one = await house.rested(server.id)
    assert.equal(one.status, 'ACTIVE')
    assert.equal(one['OS-EXT-STS:power_state'], 1)
    assert.deepEqual(one.metadata, { a: 'b' })
    assert.match(one.addresses.private[0].addr, /^10\.7\./)
    assert.equal(one['OS-EXT-AZ:availability_zone'], 'nova')
    await house.remove(one.id)
    assert.equal((await house.ask('GET', `/servers/${one.id}`)).status, 404)
  })

  test('says more in newer microversions, and hosts to administrators alone', async () => {
    const { id } = await house.server({ description: 'mine', tags: ['x'] }, { at: '2.52' })
    const seen = async (at: string, as: 'admin' | 'member' = 'member') => (await house.ask('GET', `/servers/${id}`, { at, as })).body.server
    const [first, flavored, last, all] = [await seen('2.1'), await seen('2.47'), await seen('2.93'), await seen('2.93', 'admin')]
    assert.equal(first.flavor.id, house.yard.flavorId)
    for (const key of ['locked', 'tags', 'description', 'host_status', 'trusted_image_certificates', 'server_groups'])
      assert.ok(!(key in first), key)
    assert.deepEqual([flavored.flavor.original_name, flavored.flavor.ram, flavored.flavor.id], ['small', 64, undefined])
    assert.deepEqual([last.description, last.tags, last.locked, last.locked_reason], ['mine', ['x'], false, null])
    assert.equal(last['OS-EXT-SRV-ATTR:hostname'], 'one')
    assert.ok(!('OS-EXT-SRV-ATTR:host' in last) && !('host_status' in last))
    assert.match(all['OS-EXT-SRV-ATTR:instance_name'], /^instance-[0-9a-f]{8}$/)
    assert.equal(all.host_status, 'UP')
    await house.remove(id)
  })

  test('shows the security groups that its ports have, and none when they have none', async () => {
    const { id } = await house.server()
    const groups = async () => (await house.ask('GET', `/servers/${id}`)).body.server.security_groups
    assert.deepEqual(await groups(), [{ name: 'default' }])
    const change = (action: string) => house.ask('POST', `/servers/${id}/action`, { body: { [action]: { name: 'default' } } })
    assert.equal((await change('removeSecurityGroup')).status, 202)
    assert.equal(await groups(), undefined)
    assert.equal((await change('addSecurityGroup')).status, 202)
    assert.deepEqual(await groups(), [{ name: 'default' }])
    await house.remove(id)
  })

  test('has its cards in the order in which they were asked for, also where a port is older than the others', async () => {
    const network = house.yard.networkId
    const { port } = (await house.request('POST', '/network/v2.0/ports', { body: { port: { network_id: network } } })).body
    const { id } = await house.server({ networks: [{ uuid: network }, { port: port.id }] })
    const macs = async () => {
      const { addresses } = (await house.ask('GET', `/servers/${id}`)).body.server
      return addresses.private.map((each: any) => each['OS-EXT-IPS-MAC:mac_addr'])
    }
    assert.equal((await macs()).indexOf(port.mac_address), 1)
    await house.remove(id)
  })

  test('is renamed, described, given addresses', async () => {
    const { id } = await house.server()
    const change = { name: 'two', description: 'd', accessIPv4: '10.0.0.1', accessIPv6: '::1', hostname: 'host-two' }
    const { status, body } = await house.ask('PUT', `/servers/${id}`, { body: { server: change }, at: '2.90' })
    assert.equal(status, 200)
    const { name, description, accessIPv4, accessIPv6 } = body.server
    assert.deepEqual([name, description, accessIPv4, accessIPv6], ['two', 'd', '10.0.0.1', '::1'])
    const again = await house.ask('PUT', `/servers/${id}`, { body: { server: { accessIPv4: '', description: null } }, at: '2.90' })
    assert.deepEqual([again.body.server.accessIPv4, again.body.server.description, again.body.server.name], ['', null, 'two'])
    assert.equal((await house.ask('PUT', `/servers/${id}`, { body: { server: { name: ' ' } } })).status, 400)
    assert.equal((await house.ask('PUT', `/servers/${id}`, { body: { server: { accessIPv4: '300.1.1.1' } } })).status, 400)
    await house.remove(id)
  })

  test('comes in numbers: names are counted, the reservation is one', async () => {
    const body = house.wish({ name: 'many', min_count: 2, max_count: 3, return_reservation_id: true })
    const made = await house.ask('POST', '/servers', { body })
    assert.match(made.body.reservation_id, /^r-[0-9a-f]{8}$/)
    await house.yard.settled()
    const { servers } = (await house.ask('GET', `/servers?reservation_id=${made.body.reservation_id}&sort_key=display_name&sort_dir=asc`))
      .body
    assert.deepEqual(
      servers.map((one: any) => one.name),
      ['many-1', 'many-2', 'many-3'],
    )
    await house.remove(...servers.map((one: any) => one.id))
  })

  test('has metadata', async () => {
    const { id } = await house.server({ metadata: { a: '1' } })
    const path = `/servers/${id}/metadata`
    const all = async () => (await house.ask('GET', path)).body.metadata
    assert.deepEqual((await house.ask('POST', path, { body: { metadata: { b: '2' } } })).body.metadata, { a: '1', b: '2' })
    assert.deepEqual((await house.ask('PUT', `${path}/c`, { body: { meta: { c: '3' } } })).body, { meta: { c: '3' } })
    assert.equal((await house.ask('PUT', `${path}/c`, { body: { meta: { d: '3' } } })).status, 400)
    assert.deepEqual((await house.ask('GET', `${path}/a`)).body, { meta: { a: '1' } })
    assert.equal((await house.ask('DELETE', `${path}/a`)).status, 204)
    assert.equal((await house.ask('DELETE', `${path}/a`)).status, 404)
    assert.deepEqual(await all(), { b: '2', c: '3' })
    assert.deepEqual((await house.ask('PUT', path, { body: { metadata: {} } })).body.metadata, {})
    const many = Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`k${i}`, '']))
    const over = await house.ask('PUT', path, { body: { metadata: many } })
    assert.deepEqual([over.status, over.message], [403, 'Maximum number of metadata items exceeds 128'])
    assert.deepEqual(await all(), {})
    await house.remove(id)
  })

  test('has tags, from 2.26 on', async () => {
    const { id } = await house.server()
    const path = `/servers/${id}/tags`
    const ask = (method: string, more = '', body?: unknown) => house.ask(method, `${path}${more}`, { at: '2.26', body })
    assert.equal((await house.ask('GET', path, { at: '2.25' })).status, 404)
    assert.equal((await ask('PUT', '/blue', {})).status, 201)
    assert.equal((await ask('PUT', '/blue', {})).status, 204)
    assert.equal((await ask('PUT', `/${'x'.repeat(61)}`, {})).status, 400)
    assert.equal((await ask('GET', '/blue')).status, 204)
    assert.equal((await ask('GET', '/red')).status, 404)
    assert.deepEqual((await ask('PUT', '', { tags: ['a', 'b', 'a'] })).body, { tags: ['a', 'b'] })
    assert.equal((await ask('PUT', '', { tags: ['a,b'] })).status, 400)
    assert.equal((await ask('DELETE', '/red')).status, 404)
    assert.equal((await ask('DELETE', '/a')).status, 204)
    assert.equal((await ask('DELETE')).status, 204)
    assert.deepEqual((await ask('GET')).body, { tags: [] })
    await house.remove(id)
  })
})

describe('the list', () => {
  const ids = Array.from({ length: 5 }, () => randomUUID())
  before(async () => {
    const { db } = house.yard.context.database
    await db
      .insertInto('instances')
      .values(
        ids.map((id, i) =>
          instanceRow({
            id,
            project_id: house.alpha,
            number: 1000 + i,
            name: `listed-${i}`,
            vm_state: i === 4 ? 'deleted' : i === 3 ? 'error' : i === 2 ? 'stopped' : 'active',
            deleted: i === 4 ? 1 : 0,
            key_name: i % 2 ? 'ssh' : null,
            tags_json: JSON.stringify([`t${i}`, 'all_']),
            network_info_json: '[]',
            request_json: '{"image":null,"trustedCertificates":null}',
            created_at: `2026-01-0${i + 1}T00:00:00.000Z`,
            updated_at: `2026-01-0${i + 1}T12:00:00.000Z`,
          }),
        ),
      )
      .execute()
  })
  after(() => house.yard.context.database.db.deleteFrom('instances').where('id', 'in', ids).execute())
  const list = async (query: string, as: 'member' | 'admin' = 'member', path = '/servers', at = '2.90'): Promise<number[]> => {
    const { status, body, message } = await house.ask('GET', `${path}?${query}`, { as, at })
    assert.equal(status, 200, message)
    return body.servers.map((one: any) => ids.indexOf(one.id))
  }

  test('newest first; sorted as asked', async () => {
    assert.deepEqual(await list(''), [3, 2, 1, 0])
    assert.deepEqual(await list('sort_key=display_name&sort_dir=asc'), [0, 1, 2, 3])
    assert.deepEqual(await list('sort_key=vm_state&sort_dir=asc&sort_key=created_at&sort_dir=desc'), [1, 0, 3, 2])
    assert.equal((await house.ask('GET', '/servers?sort_key=colour')).status, 400)
    assert.equal((await house.ask('GET', '/servers?sort_key=name&sort_dir=up')).status, 400)
  })

  test('page by page, with links, over equal values and nulls', async () => {
    for (const sort of ['', 'sort_key=key_name&sort_dir=asc', 'sort_key=key_name&sort_dir=desc', 'sort_key=launched_at&sort_dir=desc']) {
      const all = await list(sort)
      const paged: number[] = []
      for (let url: string | undefined = `/servers?limit=1&${sort}`; url; ) {
        const { body } = await house.ask('GET', url)
        paged.push(...body.servers.map((one: any) => ids.indexOf(one.id)))
        const next: string | undefined = body.servers_links?.[0].href
        url = next?.slice(next.indexOf('/servers'))
      }
      assert.deepEqual(paged, all, sort)
      assert.equal(new Set(paged).size, 4)
    }
    assert.deepEqual(await list('limit=0'), [])
    for (const query of ['limit=-1', 'limit=x', `marker=${randomUUID()}`])
      assert.equal((await house.ask('GET', `/servers?${query}`)).status, 400, query)
  })

  test('filtered', async () => {
    assert.deepEqual(await list('status=ACTIVE'), [1, 0])
    assert.deepEqual(await list('status=SHUTOFF&status=ERROR'), [3, 2])
    assert.deepEqual(await list('status=NONSENSE', 'member', '/servers', '2.37'), [])
    assert.deepEqual(await list('name=listed-[12]'), [2, 1])
    assert.deepEqual(await list('name=^1'), [])
    assert.deepEqual(await list('key_name=ssh'), [3, 1])
    assert.deepEqual(await list('tags=t1,all_'), [1])
    assert.deepEqual(await list('tags=t1,t2'), [])
    assert.deepEqual(await list('tags-any=t1,t2'), [2, 1])
    assert.deepEqual(await list('tags=all%25'), [])
    assert.deepEqual(await list('locked=true'), [])
    assert.deepEqual(await list('power_state=1'), [3, 2, 1, 0])
    assert.deepEqual(await list('host=elsewhere'), [3, 2, 1, 0], 'operators alone filter by host')
    assert.deepEqual(await list('host=elsewhere&all_tenants=1', 'admin'), [])
    for (const query of ['name=(', 'power_state=on', 'locked=perhaps', 'changes-since=yesterday'])
      assert.equal((await house.ask('GET', `/servers?${query}`, { at: '2.90' })).status, 400, query)
  })

  test('changes-since tells of what was deleted, too', async () => {
    assert.deepEqual(await list('name=listed&changes-since=2026-01-03T00:00:00Z'), [4, 3, 2])
    assert.deepEqual(await list('name=listed&changes-since=2026-01-03T00:00:00Z&changes-before=2026-01-04T00:00:00'), [2])
    assert.deepEqual(await list('name=listed&changes-since=2026-01-05T00:00:00Z', 'member', '/servers/detail'), [4])
  })

  test('of all projects and of the deleted: administrators alone', async () => {
    assert.deepEqual(await list(`all_tenants=1&project_id=${house.alpha}`, 'admin'), [3, 2, 1, 0])
    assert.deepEqual(await list('all_tenants=1&deleted=true', 'admin').then((all) => all.includes(4)), true)
    assert.deepEqual(await list('deleted=true'), [3, 2, 1, 0])
    assert.deepEqual(await list(`project_id=${house.alpha}`, 'admin'), [])
  })
})

test('the answer to a change has fewer attributes before 2.75 than a server that is asked for', async () => {
  const one = await house.server()
  const change = async (at: string) =>
    Object.keys((await house.ask('PUT', `/servers/${one.id}`, { body: { server: { name: 'b' } }, at })).body.server)
  const rebuilt = async (at: string) => {
    const { server } = (await house.ask('POST', `/servers/${one.id}/action`, { body: { rebuild: { imageRef: house.yard.imageId } }, at }))
      .body
    await house.rested(one.id)
    return Object.keys(server)
  }
  for (const name of ['OS-EXT-STS:vm_state', 'OS-EXT-AZ:availability_zone', 'config_drive', 'security_groups', 'OS-SRV-USG:launched_at']) {
    assert.deepEqual([(await change('2.74')).includes(name), (await change('2.75')).includes(name)], [false, true], name)
  }
  const [old, later] = [await rebuilt('2.53'), await rebuilt('2.57')]
  assert.deepEqual(
    [old.includes('key_name'), later.includes('key_name'), old.includes('user_data'), later.includes('user_data')],
    [false, true, false, true],
  )
  assert.ok(old.includes('adminPass'))
  await house.remove(one.id)
})

test('IPv6 addresses are shown in the one form that RFC 5952 gives them', async () => {
  const one = await house.server({ accessIPv6: '::babe:220.12.22.2' })
  assert.equal((await house.ask('GET', `/servers/${one.id}`)).body.server.accessIPv6, '::babe:dc0c:1602')
  await house.remove(one.id)
})

test('names become host names without dots, also of several servers at once; times are ISO 8601', async () => {
  const made = await house.ask('POST', '/servers', { body: house.wish({ name: 'a.b_c d', min_count: 2, return_reservation_id: true }) })
  const query = `reservation_id=${made.body.reservation_id}`
  const mine = (await house.ask('GET', `/servers?${query}&changes-since=2011-01-01`)).body.servers
  assert.equal(mine.length, 2)
  for (const { id } of mine) assert.equal((await house.rested(id)).status, 'ACTIVE')
  assert.equal((await house.ask('GET', '/servers?changes-since=2011/01/01')).status, 400)
  const names = await Promise.all(
    mine.map(
      async ({ id }: any) => (await house.ask('GET', `/servers/${id}`, { as: 'admin', at: '2.3' })).body.server['OS-EXT-SRV-ATTR:hostname'],
    ),
  )
  assert.deepEqual(names.sort(), ['a-b-c-d-1', 'a-b-c-d-2'])
  await house.remove(...mine.map(({ id }: any) => id))
})

test('a network may be called like a part of every object: its servers are shown and listed', async () => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    const { network } = (await house.request('POST', '/network/v2.0/networks', { body: { network: { name } } })).body
    const subnet = { network_id: network.id, ip_version: 4, cidr: '10.55.0.0/24' }
    assert.equal((await house.request('POST', '/network/v2.0/subnets', { body: { subnet } })).status, 201)
    const one = await house.server({ networks: [{ uuid: network.id }] })
    assert.equal(one.status, 'ACTIVE')
    assert.deepEqual(Object.keys(one.addresses), [name])
    for (const path of ['/servers/detail', `/servers/${one.id}/ips`, `/servers/${one.id}/ips/${name}`]) {
      const { status, body } = await house.ask('GET', path)
      assert.equal(status, 200)
      assert.match(JSON.stringify(body), new RegExp(`"${name}":\\[{"version":4,"addr":"10\\.55\\.0\\.`))
    }
    await house.remove(one.id)
    assert.equal((await house.request('DELETE', `/network/v2.0/networks/${network.id}`)).status, 204)
  }
})

test('a rebuilt server has the access addresses and the trusted certificates that come with it, and keeps those that do not', async () => {
  const { id } = await house.server({ accessIPv4: '10.0.0.1', trusted_image_certificates: ['one'] })
  const rebuilt = async (more: object) => {
    const path = `/servers/${id}/action`
    const answer = await house.ask('POST', path, { body: { rebuild: { imageRef: house.yard.imageId, ...more } }, at: '2.63' })
    if (answer.status !== 202) return [answer.status, answer.message]
    await house.rested(id)
    const { server } = (await house.ask('GET', `/servers/${id}`, { at: '2.63' })).body
    const seen = ({ accessIPv4, accessIPv6, trusted_image_certificates }: any) => [accessIPv4, accessIPv6, trusted_image_certificates]
    assert.deepEqual(seen(answer.body.server), seen(server), 'what the answer shows is what there is')
    return seen(server)
  }
  assert.deepEqual(await rebuilt({}), ['10.0.0.1', '', ['one']])
  assert.deepEqual(await rebuilt({ accessIPv6: '::babe:220.12.22.2' }), ['10.0.0.1', '::babe:dc0c:1602', ['one']])
  assert.deepEqual(await rebuilt({ accessIPv4: '10.0.0.2', trusted_image_certificates: ['two', 'three'] }), [
    '10.0.0.2',
    '::babe:dc0c:1602',
    ['two', 'three'],
  ])
  assert.deepEqual((await rebuilt({ trusted_image_certificates: null }))[2], null)
  for (const bad of [
    { accessIPv4: '10.0.0' },
    { accessIPv4: null },
    { accessIPv6: '10.0.0.1' },
    { trusted_image_certificates: [] },
    { trusted_image_certificates: ['one', 'one'] },
    { trusted_image_certificates: [''] },
    { trusted_image_certificates: Array.from({ length: 51 }, (_, n) => `c${n}`) },
  ])
    assert.equal((await rebuilt(bad))[0], 400, JSON.stringify(bad))
})

test('certificates of an image’s signers are for servers with an image of their own', async () => {
  const named = { trusted_image_certificates: ['one'] }
  const made = await house.ask('POST', '/servers', { body: house.wish({ ...house.yard.onVolume(), ...named }), at: '2.63' })
  assert.deepEqual([made.status, made.message], [400, 'Image certificate validation is not supported when booting from volume'])
  const { id } = await house.server(house.yard.onVolume())
  const rebuild = { imageRef: house.yard.imageId, ...named }
  const rebuilt = await house.ask('POST', `/servers/${id}/action`, { body: { rebuild }, at: '2.63' })
  assert.deepEqual([rebuilt.status, rebuilt.message], [400, 'Image certificate validation is not supported for volume-backed servers.'])
})
