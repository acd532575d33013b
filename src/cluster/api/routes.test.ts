import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type TestCloud, testCloud } from '../../cloud/testing.ts'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { refusalTests } from '../../kernel/http/testing.ts'
import { keepMember, keepToken, members, removeMember, useToken } from '../db/members.ts'
import { migrations } from '../db/migrations.ts'
import type { ClusterTables } from '../db/tables.ts'

let cloud: TestCloud
before(async () => {
  cloud = await testCloud()
})
after(() => cloud.stop())

refusalTests(async () => cloud.control.server.apis.filter((api) => api.name === 'cluster'))

const token = async () => (await cloud.api('POST', '/cluster/v1/join-tokens')).token as string
const join = (body: object) => cloud.api('POST', '/cluster/v1/join', body)
const admit = (authorization?: string) => cloud.control.admit({ headers: { authorization } } as never)

test('a host joins once with a token, and is let on the bus by its secret until it is expelled', async () => {
  const given = await token()
  const { host, secret, servicePassword } = await join({ token: given, host: 'node9', roles: ['compute', 'network'] })
  assert.equal(host, 'node9')
  assert.ok(secret && servicePassword)
  await assert.rejects(join({ token: given, host: 'thief', roles: ['compute'] }), /401.*unknown, used or older/)
  const { members: all } = await cloud.api('GET', '/cluster/v1/members')
  assert.deepEqual(
    all.map((one: any) => [one.host, one.roles]),
    [['node9', ['compute', 'network']]],
  )
  const leave = await admit(`Bearer node9:${secret}`)
  assert.deepEqual([leave.serve('compute.node9'), leave.serve('compute.node1'), leave.call('compute.node1')], [true, false, false])
  await assert.rejects(admit(`Bearer node9:${secret}x`), { status: 401 })
  await assert.rejects(admit(`Bearer node1:${secret}`), { status: 401 })
  await assert.rejects(admit(), { status: 401 })
  const again = await join({ token: await token(), host: 'node9', roles: ['compute'] })
  await assert.rejects(admit(`Bearer node9:${secret}`), { status: 401 })
  await cloud.api('DELETE', '/cluster/v1/members/node9')
  await assert.rejects(admit(`Bearer node9:${again.secret}`), { status: 401 })
  await assert.rejects(cloud.api('DELETE', '/cluster/v1/members/node9'), /404/)
})

test('who may join is said in time, in form, and by nobody but the operator', async () => {
  await assert.rejects(join({ token: 'guessed', host: 'node9', roles: ['compute'] }), /401/)
  const given = await token()
  for (const host of ['a.b', '-x', 'compute.node1', '']) await assert.rejects(join({ token: given, host, roles: ['compute'] }), /400/, host)
  await assert.rejects(join({ token: given, host: 'node9', roles: [] }), /400/)
  await assert.rejects(join({ token: given, host: 'node9', roles: ['king'] }), /400/)
  assert.equal((await join({ token: given, host: 'node9', roles: ['storage'] })).host, 'node9') // what was wrong used nothing up
})

test('an ordinary user learns nothing of hosts and processes', async () => {
  const { user } = await cloud.api('POST', '/identity/v3/users', { user: { name: 'ordinary', password: 'ordinary-pass' } })
  const { projects } = await cloud.api('GET', '/identity/v3/projects?name=demo')
  const { roles } = await cloud.api('GET', '/identity/v3/roles?name=member')
  await cloud.api('PUT', `/identity/v3/projects/${projects[0].id}/users/${user.id}/roles/${roles[0].id}`)
  const answer = await cloud.control.server.fastify.inject({
    method: 'POST',
    url: '/identity/v3/auth/tokens',
    payload: JSON.stringify({
      auth: {
        identity: { methods: ['password'], password: { user: { id: user.id, password: 'ordinary-pass' } } },
        scope: { project: { id: projects[0].id } },
      },
    }),
    headers: { 'content-type': 'application/json' },
  })
  const theirs = { 'x-auth-token': String(answer.headers['x-subject-token']) }
  for (const [method, path] of [
    ['GET', '/processes'],
    ['GET', '/members'],
    ['POST', '/join-tokens'],
    ['DELETE', '/members/node9'],
  ] as const)
    await assert.rejects(cloud.api(method, `/cluster/v1${path}`, undefined, theirs), /403/, path)
})

describe('queries', () =>
  eachDatabase<ClusterTables>(migrations, (open) => {
    test('a token is used by one of many, and not when it is too old', async () => {
      const { db } = await open()
      await keepToken(db, 'good', '2999-01-01T00:00:00.000Z')
      const used = await Promise.all(Array.from({ length: 8 }, (_, i) => useToken(db, 'good', `node${i}`)))
      assert.equal(used.filter(Boolean).length, 1)
      await db.insertInto('join_tokens').values({ digest: 'old', created_at: '2000', expires_at: '2001', used_by: null }).execute()
      assert.equal(await useToken(db, 'old', 'node1'), false)
    })

    test('a member is there once, and gone when removed', async () => {
      const { db } = await open()
      const one = { host: 'node1', roles: 'compute', secret_digest: 'a', joined_at: '2026' }
      await keepMember(db, one)
      await keepMember(db, { ...one, secret_digest: 'b' })
      assert.deepEqual(
        (await members(db)).map((member) => member.secret_digest),
        ['b'],
      )
      assert.deepEqual([await removeMember(db, 'node1'), await removeMember(db, 'node1')], [true, false])
    })
  }))
