import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { timestamp } from '../../kernel/db/columns.ts'
import { House } from '../testing.ts'

let house: House
let id: string
before(async () => {
  house = await House.open()
  id = (await house.server()).id
})
after(() => house.stop())
const digest = (token: string) => createHash('sha256').update(token).digest('hex')
const keep = (token: string, until: number) =>
  house.yard.context.database.db
    .insertInto('console_tokens')
    .values({ digest: digest(token), server_id: id, kind: 'vnc', host: '127.0.0.1', port: 5900, expires_at: timestamp(until) })
    .execute()

test('a token leads to its guest until it expires; only its digest is kept', async () => {
  const { compute } = house.yard.cloud.control
  await keep('good', Date.now() + 60_000)
  await keep('old', Date.now() - 1)
  assert.deepEqual(await compute.console('good'), { instanceId: id, host: '127.0.0.1', port: 5900 })
  await assert.rejects(compute.console('old'), { status: 404 })
  await assert.rejects(compute.console('never'), { status: 404 })
  await assert.rejects(compute.console(''), { status: 404 })
  const rows = await house.yard.context.database.db.selectFrom('console_tokens').selectAll().execute()
  assert.doesNotMatch(JSON.stringify(rows), /good/)
})

test('a console of a kind that there is not: 400; none of a server that has no host: 409', async () => {
  const ask = (remote_console: object, at = '2.8') => house.ask('POST', `/servers/${id}/remote-consoles`, { body: { remote_console }, at })
  assert.equal((await ask({ protocol: 'spice', type: 'spice-html5' })).status, 400)
  assert.equal((await ask({ protocol: 'telepathy', type: 'x' })).status, 400)
  assert.equal((await ask({ protocol: 'vnc', type: 'novnc' }, '2.5')).status, 404)
  const answer = await ask({ protocol: 'vnc', type: 'novnc' })
  assert.ok([200, 409].includes(answer.status), answer.message)
  if (answer.status === 200) {
    const token = new URL(answer.body.remote_console.url).searchParams.get('token')!
    assert.equal((await house.yard.cloud.control.compute.console(token)).instanceId, id)
  }
  await house.yard.context.database.db.updateTable('instances').set({ host: null }).where('id', '=', id).execute()
  assert.equal((await ask({ protocol: 'vnc', type: 'novnc' })).status, 409)
  assert.equal((await house.ask('GET', `/servers/${id}/diagnostics`, { as: 'admin' })).status, 409)
  assert.equal((await house.ask('POST', `/servers/${id}/action`, { body: { 'os-getConsoleOutput': {} } })).status, 409)
})
