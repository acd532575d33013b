import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { timestamp } from '../../kernel/db/columns.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
let id: string
before(async () => {
  house = await House.open()
  id = (await house.server()).id
})
after(() => house.stop())
const digest = (token: string) => createHash('sha256').update(token).digest('hex')
const keep = (token: string, until: number, port: number, server_id = id) =>
  house.yard.context.database.db
    .insertInto('console_tokens')
    .values({ digest: digest(token), server_id, kind: 'vnc', host: '127.0.0.1', port, expires_at: timestamp(until) })
    .execute()

/** A token as a user is given it. */
async function tokenOf(server: string): Promise<string> {
  const body = { remote_console: { protocol: 'vnc', type: 'novnc' } }
  const answer = await house.ask('POST', `/servers/${server}/remote-consoles`, { body, at: '2.8' })
  assert.equal(answer.status, 200, answer.message)
  return /token=([\w-]+)/.exec(new URL(answer.body.remote_console.url).searchParams.get('path')!)![1]!
}

test('a token leads to its guest until it expires; only its digest is kept', async () => {
  const { compute } = house.yard.cloud.control
  const { port } = await compute.console(await tokenOf(id))
  await keep('good', Date.now() + 60_000, port)
  await keep('old', Date.now() - 1, port)
  assert.deepEqual(await compute.console('good'), { instanceId: id, host: '127.0.0.1', port })
  await assert.rejects(compute.console('old'), { status: 404 })
  await assert.rejects(compute.console('never'), { status: 404 })
  await assert.rejects(compute.console(''), { status: 404 })
  const rows = await house.yard.context.database.db.selectFrom('console_tokens').selectAll().execute()
  assert.doesNotMatch(JSON.stringify(rows), /good/)
})

test('a token of a guest that has stopped or gone leads nowhere, whoever has its port now', async () => {
  const { compute } = house.yard.cloud.control
  const other = (await house.server()).id
  const [mine, theirs] = [await tokenOf(id), await tokenOf(other)]
  const { port } = await compute.console(theirs)
  await keep('their port', Date.now() + 60_000, port)
  await assert.rejects(compute.console('their port'), { status: 404 }, 'the port is that of another guest')
  await house.yard.cloud.api('POST', `/compute/v2.1/servers/${other}/action`, { 'os-stop': null })
  const look = () => house.ask('GET', `/servers/${other}`)
  assert.equal((await eventually(look, ({ body }) => body.server.status === 'SHUTOFF')).body.server.status, 'SHUTOFF')
  await assert.rejects(compute.console(theirs), { status: 404 }, 'stopped')
  await house.yard.cloud.api('DELETE', `/compute/v2.1/servers/${other}`)
  assert.equal((await eventually(look, ({ status }) => status === 404)).status, 404)
  await assert.rejects(compute.console(theirs), { status: 404 }, 'gone')
  await keep('unknown guest', Date.now() + 60_000, port, '00000000-0000-4000-8000-000000000000')
  await assert.rejects(compute.console('unknown guest'), { status: 404 })
  assert.equal((await compute.console(mine)).instanceId, id)
})

test('a console of a kind that there is not: 400; none of a server that has no host: 409', async () => {
  const ask = (remote_console: object, at = '2.8') => house.ask('POST', `/servers/${id}/remote-consoles`, { body: { remote_console }, at })
  assert.equal((await ask({ protocol: 'spice', type: 'spice-html5' })).status, 400)
  assert.equal((await ask({ protocol: 'telepathy', type: 'x' })).status, 400)
  assert.equal((await ask({ protocol: 'vnc', type: 'novnc' }, '2.5')).status, 404)
  const answer = await ask({ protocol: 'vnc', type: 'novnc' })
  assert.ok([200, 409].includes(answer.status), answer.message)
  if (answer.status === 200) {
    const token = /token=([\w-]+)/.exec(new URL(answer.body.remote_console.url).searchParams.get('path')!)![1]!
    assert.equal((await house.yard.cloud.control.compute.console(token)).instanceId, id)
  }
  await house.yard.context.database.db.updateTable('instances').set({ host: null }).where('id', '=', id).execute()
  assert.equal((await ask({ protocol: 'vnc', type: 'novnc' })).status, 409)
  assert.equal((await house.ask('GET', `/servers/${id}/diagnostics`, { as: 'admin' })).status, 409)
  assert.equal((await house.ask('POST', `/servers/${id}/action`, { body: { 'os-getConsoleOutput': {} } })).status, 409)
})
