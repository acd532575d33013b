import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ImageHouse, imageHouse } from '../testing.ts'

let house: ImageHouse
before(async () => {
  house = await imageHouse()
})
after(() => house.close())

const root = '/image/v2/metadefs'
const at = (path = '') => `${root}/namespaces${path}`
const post = (path: string, body: object, as = 'admin') => house.request('POST', at(path), { as, body })
const get = (path: string, as = 'admin', query = {}) => house.request('GET', at(path), { as, query })
let number = 0
async function namespace(more: object = {}): Promise<string> {
  const name = `OS::Test::${number++}`
  assert.equal((await post('', { namespace: name, ...more })).status, 201)
  return name
}

test('a namespace comes with its definitions, is changed, renamed and deleted with them', async () => {
  const made = await post('', {
    namespace: 'OS::Compute::Cpu',
    display_name: 'CPU',
    visibility: 'public',
    protected: true,
    objects: [{ name: 'topology', properties: { sockets: { title: 'Sockets', type: 'integer', minimum: 1 } } }],
    properties: { vendor: { title: 'Vendor', type: 'string', enum: ['a', 'b'] } },
    tags: [{ name: 'fast' }],
    resource_type_associations: [{ name: 'OS::Nova::Flavor', prefix: 'hw:' }],
  })
  assert.equal(made.status, 201)
  assert.equal(made.body.self, '/v2/metadefs/namespaces/OS%3A%3ACompute%3A%3ACpu')
  assert.deepEqual(Object.keys(made.body.properties), ['vendor'])
  assert.deepEqual(Object.keys((await get('/OS::Compute::Cpu', 'admin', { resource_type: 'OS::Nova::Flavor' })).body.properties), [
    'hw:vendor',
  ])
  assert.equal((await post('', { namespace: 'OS::Compute::Cpu' })).status, 409)
  assert.equal((await house.request('DELETE', at('/OS::Compute::Cpu'))).status, 403)
  const changed = await house.request('PUT', at('/OS::Compute::Cpu'), {
    body: { namespace: 'OS::Cpu', protected: false, description: 'x' },
  })
  assert.deepEqual([changed.status, changed.body.namespace, changed.body.protected], [200, 'OS::Cpu', false])
  assert.equal((await get('/OS::Cpu/objects')).body.objects[0].properties.sockets.minimum, 1)
  assert.equal((await get('/OS::Compute::Cpu')).status, 404)
  assert.equal((await house.request('DELETE', at('/OS::Cpu'))).status, 204)
  assert.equal((await get('/OS::Cpu')).status, 404)
})

for (const { plural, body, other } of [
  { plural: 'objects', body: { name: 'one', description: 'x', required: [], properties: {} }, other: { name: 'two' } },
  { plural: 'properties', body: { name: 'one', title: 'One', type: 'string' }, other: { name: 'two', title: 'Two', type: 'integer' } },
])
  test(`${plural} are defined, shown, changed and deleted`, async () => {
    const path = `/${await namespace()}/${plural}`
    assert.equal((await post(path, body)).status, 201)
    assert.equal((await post(path, body)).status, 409)
    assert.equal((await post(path, { ...body, surprise: 1 })).status, 400)
    assert.equal((await get(`${path}/one`)).body.name, 'one')
    assert.equal((await house.request('PUT', at(`${path}/one`), { body: other })).body.name, 'two')
    assert.equal((await get(`${path}/one`)).status, 404)
    const listed = (await get(path)).body[plural]
    assert.deepEqual(plural === 'properties' ? Object.keys(listed) : listed.map((one: any) => one.name), ['two'])
    assert.equal((await house.request('DELETE', at(`${path}/two`))).status, 204)
    assert.equal((await house.request('DELETE', at(`${path}/two`))).status, 404)
    await post(path, body)
    assert.equal((await house.request('DELETE', at(path))).status, 204)
    assert.equal((await get(`${path}/one`)).status, 404)
  })

test('tags are replaced, added to, renamed', async () => {
  const path = `/${await namespace()}/tags`
  const names = async () => (await get(path)).body.tags.map((tag: any) => tag.name)
  assert.equal((await post(path, { tags: [{ name: 'a' }, { name: 'b' }] })).status, 201)
  assert.equal((await post(path, { tags: [{ name: 'c' }, { name: 'd' }] })).status, 201)
  assert.deepEqual(await names(), ['c', 'd'])
  const added = await house.request('POST', at(path), { body: { tags: [{ name: 'e' }] }, headers: { 'x-openstack-append': 'True' } })
  assert.equal(added.status, 201)
  assert.equal((await house.request('POST', at(`${path}/f`))).status, 201)
  assert.equal((await house.request('POST', at(`${path}/f`))).status, 409)
  assert.equal((await post(path, { tags: [{ name: 'x' }, { name: 'x' }] })).status, 400)
  assert.deepEqual((await names()).sort(), ['c', 'd', 'e', 'f'], 'what is refused takes nothing away')
  await post(path, { tags: [{ name: 'c' }, { name: 'f' }] })
  assert.equal((await house.request('PUT', at(`${path}/f`), { body: { name: 'g' } })).body.name, 'g')
  assert.equal((await house.request('PUT', at(`${path}/g`), { body: { name: 'c' } })).status, 409)
  assert.deepEqual(await names(), ['c', 'g'])
})

test('resource types are associated and listed once', async () => {
  const [one, two] = [await namespace(), await namespace()]
  for (const name of [one, two]) assert.equal((await post(`/${name}/resource_types`, { name: 'OS::Glance::Image' })).status, 201)
  const all = (await house.request('GET', `${root}/resource_types`)).body.resource_types
  assert.equal(all.filter((type: any) => type.name === 'OS::Glance::Image').length, 1)
  const found = await get('', 'admin', { resource_types: 'OS::Glance::Image,OS::Other' })
  assert.deepEqual(found.body.namespaces.map((each: any) => each.namespace).sort(), [one, two])
  assert.equal((await house.request('DELETE', at(`/${one}/resource_types/OS::Glance::Image`))).status, 204)
  assert.equal((await get(`/${one}/resource_types`)).body.resource_type_associations.length, 0)
})

test('a page at a time, each once', async () => {
  const names = [await namespace(), await namespace(), await namespace()]
  const seen: string[] = []
  for (let path: string | undefined = `${at()}?limit=2&sort_key=namespace&sort_dir=asc`; path; ) {
    const { body } = await house.request('GET', path)
    assert.ok(body.namespaces.length <= 2)
    seen.push(...body.namespaces.map((each: any) => each.namespace))
    path = body.next?.replace('/v2', '/image/v2')
  }
  assert.equal(new Set(seen).size, seen.length)
  for (const name of names) assert.ok(seen.includes(name))
})

test('a private namespace is not there for other projects; only administrators define', async () => {
  const [hidden, open] = [await namespace(), await namespace({ visibility: 'public' })]
  assert.equal((await get(`/${hidden}`, 'other')).status, 404)
  assert.equal((await get(`/${open}`, 'other')).status, 200)
  const listed = (await get('', 'other')).body.namespaces.map((each: any) => each.namespace)
  assert.deepEqual([listed.includes(hidden), listed.includes(open)], [false, true])
  assert.equal((await post('', { namespace: 'mine' }, 'member')).status, 403)
  const definitions = {
    objects: { name: 'x' },
    properties: { name: 'x', title: 'X', type: 'string' },
    tags: { tags: [] },
    resource_types: { name: 'x' },
  }
  for (const [path, body] of Object.entries(definitions)) assert.equal((await post(`/${open}/${path}`, body, 'other')).status, 403, path)
  assert.equal((await house.request('DELETE', at(`/${open}`), { as: 'other' })).status, 403)
})

test('each kind has its schema', async () => {
  for (const kind of [
    'namespace',
    'namespaces',
    'object',
    'objects',
    'property',
    'properties',
    'tag',
    'tags',
    'resource_type',
    'resource_types',
  ])
    assert.ok((await house.request('GET', `/image/v2/schemas/metadefs/${kind}`)).body.properties, kind)
  assert.equal((await house.request('GET', '/image/v2/schemas/metadefs/unicorn')).status, 404)
})
