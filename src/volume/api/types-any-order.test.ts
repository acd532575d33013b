import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { DEMO, type people } from '../../kernel/http/testing.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

/** On MariaDB two control processes, who are asked by turns. */
let houses: VolumeHouse[]

type Asked = { method: string; path: string; body?: object; as?: keyof typeof people }

interface Made {
  types: string[]
  qos: string[]
  volumes: string[]
}

const NAMES = ['red', 'green', 'blue']
const KEYS = ['total_iops_sec', 'read_bytes_sec']
const among = (ids: string[], n: number) => ids[n % Math.max(1, ids.length)] ?? 'none'
const onType = (method: string, path: string, body?: (n: number) => object) => (made: Made, n: number) => ({
  method,
  path: `/types/${among(made.types, n)}${path}`,
  body: body?.(n),
})
const onQos = (method: string, path: string, body?: (n: number) => object) => (made: Made, n: number) => ({
  method,
  path: `/qos-specs/${among(made.qos, n)}${path}`,
  body: body?.(n),
})
const link = (verb: string) => (made: Made, n: number) => ({
  method: 'GET',
  path: `/qos-specs/${among(made.qos, n)}/${verb}?vol_type_id=${among(made.types, n >> 2)}`,
})

const deeds: Record<string, (made: Made, n: number) => Asked> = {
  type: (_, n) => ({ method: 'POST', path: '/types', body: { volume_type: { name: among(NAMES, n), extra_specs: { a: 'b' } } } }),
  'hidden type': (_, n) => ({
    method: 'POST',
    path: '/types',
    body: { volume_type: { name: among(NAMES, n), 'os-volume-type-access:is_public': false } },
  }),
  rename: onType('PUT', '', (n) => ({ volume_type: { name: among(NAMES, n >> 2) } })),
  note: onType('POST', '/extra_specs', () => ({ extra_specs: { c: 'd' } })),
  let: onType('POST', '/action', () => ({ addProjectAccess: { project: DEMO } })),
  bar: onType('POST', '/action', () => ({ removeProjectAccess: { project: DEMO } })),
  'delete type': onType('DELETE', ''),
  qos: (_, n) => ({ method: 'POST', path: '/qos-specs', body: { qos_specs: { name: among(NAMES, n), [among(KEYS, n)]: '5' } } }),
  change: onQos('PUT', '', (n) => ({ qos_specs: { consumer: 'both', [among(KEYS, n)]: '7' } })),
  drop: onQos('PUT', '/delete_keys', (n) => ({ keys: [among(KEYS, n >> 2)] })),
  associate: link('associate'),
  disassociate: link('disassociate'),
  'disassociate all': onQos('GET', '/disassociate_all'),
  'delete qos': onQos('DELETE', ''),
  'delete qos by force': onQos('DELETE', '?force=true'),
  volume: (made, n) => ({ method: 'POST', path: '/volumes', body: { volume: { size: 1, volume_type: among(made.types, n) } } }),
  retype: (made, n) => ({
    method: 'POST',
    path: `/volumes/${among(made.volumes, n)}/action`,
    body: { 'os-retype': { new_type: among(made.types, n >> 2) } },
    as: 'member',
  }),
  'delete volume': (made, n) => ({ method: 'DELETE', path: `/volumes/${among(made.volumes, n)}` }),
}

const ask = fc.record({ deed: fc.constantFrom(...Object.keys(deeds)), n: fc.nat(11) })
const steps = fc.array(fc.array(ask, { minLength: 1, maxLength: 5 }), { minLength: 3, maxLength: 10 })

eachDatabaseUrl((fresh) => {
  before(async () => {
    const databaseUrl = await fresh()
    const several = databaseUrl.startsWith('mysql:')
    const first = await volumeHouse({ databaseUrl, exclusive: !several })
    houses = several ? [first, await volumeHouse({ databaseUrl, exclusive: false }, first)] : [first]
    await first.request('PUT', `/os-quota-sets/${DEMO}`, { body: { quota_set: { volumes: -1, gigabytes: -1 } } })
  })
  after(async () => {
    for (const one of houses.toReversed()) await one.close()
  })

  test('types and QoS specs come and go in whatever order and at once: never a 5xx, and nothing points to what is gone', {
    timeout: 600_000,
  }, async () => {
    const property = fc.asyncProperty(steps, async (wanted) => {
      const made: Made = { types: [], qos: [], volumes: [] }
      const said: string[] = []
      for (const asked of wanted)
        await Promise.all(
          asked.map(async ({ deed, n }, at) => {
            const { method, path, body, as = 'admin' } = deeds[deed]!(made, n)
            const answer = await houses[at % houses.length]!.request(method, path, { as, body })
            said.push(`${deed} ${answer.status}`)
            assert.ok(answer.status < 500, `${said.join(', ')}: ${JSON.stringify(answer.body)}`)
            if (answer.status >= 300 || method !== 'POST' || !answer.body) return
            if (answer.body.volume_type) made.types.push(answer.body.volume_type.id)
            if (answer.body.qos_specs) made.qos.push(answer.body.qos_specs.id)
            if (answer.body.volume) made.volumes.push(answer.body.volume.id)
          }),
        )
      for (const one of [...houses, ...houses]) await one.idle()
      assert.deepEqual([...(await dangling()), ...(await cleared(made))], [], said.join(', '))
    })
    await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 100), endOnFailure: true })
  })
})

const tables = () => houses[0]!.service.context.database.db

/** What names something that is not there. */
async function dangling(): Promise<string[]> {
  const db = tables()
  const types = await db.selectFrom('types').selectAll().execute()
  const qos = (await db.selectFrom('qos_specs').select('id').execute()).map((one) => one.id)
  const known = types.map((one) => one.id)
  const found: string[] = []
  for (const { id, qos_specs_id } of types)
    if (qos_specs_id !== null && !qos.includes(qos_specs_id)) found.push(`type ${id} has lost specs`)
  for (const { id, type_id } of await db.selectFrom('volumes').selectAll().execute())
    if (!known.includes(type_id)) found.push(`volume ${id} has no type`)
  for (const { type_id } of await db.selectFrom('type_access').selectAll().execute())
    if (!known.includes(type_id)) found.push(`access to type ${type_id}, which is gone`)
  for (const { kind, owner_id } of await db.selectFrom('properties').selectAll().where('kind', 'in', ['type', 'qos']).execute())
    if (![...known, ...qos].includes(owner_id)) found.push(`property of ${kind} ${owner_id}, which is gone`)
  return found
}

async function cleared({ types, qos, volumes }: Made): Promise<string[]> {
  const [house] = houses
  for (const id of volumes) await house!.request('DELETE', `/volumes/${id}?force=true`)
  for (const one of [...houses, ...houses]) await one.idle()
  for (const id of types) await house!.request('DELETE', `/types/${id}`)
  for (const id of qos) await house!.request('DELETE', `/qos-specs/${id}?force=true`)
  const db = tables()
  const left = [
    ...(await db.selectFrom('types').select('name').where('name', '!=', '__DEFAULT__').execute()),
    ...(await db.selectFrom('qos_specs').select('name').execute()),
    ...(await db.selectFrom('volumes').select('id').execute()),
  ]
  return [...(await dangling()), ...left.map((row) => JSON.stringify(row))]
}
