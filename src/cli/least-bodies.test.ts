import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { onCloudDatabases } from '../cloud/databases-testing.ts'
import { eventually, Yard } from '../compute/sagas/testing.ts'
import { type Lesser, lesserBodies } from '../kernel/http/least-testing.ts'
import { Counts, routesOf } from './queries/counting-testing.ts'
import { Sower } from './queries/sower-testing.ts'
import { WRITES } from './queries/writes/all-testing.ts'

type Headers = Record<string, string>

const VERSION = 'openstack-api-version'
const oldest = ({ [VERSION]: _, ...headers }: Headers): Headers => headers

/** Before each write sends what is left of its body when something is left out, or of another kind: to the thing that is there, in the state in which it can be done. */
class Lessening extends Counts {
  readonly wrong: string[] = []
  /** Name of a route → how many lesser bodies of it have been accepted, and how many refused. */
  readonly tried = new Map<string, { accepted: number; refused: number }>()
  private readonly known = new Set<string>()

  protected override async send(method: string, path: string, body: unknown, headers: Headers): Promise<any> {
    const accepted = /POST|PUT|PATCH/.test(method) && !ArrayBuffer.isView(body) ? await this.lessen(method, path, body, headers) : []
    return await super.send(method, path, body, headers).catch((error) => {
      // what a lesser body has done, or made, may be in the way of the whole one
      if (accepted.length === 0 && !(method === 'DELETE' && /: (400|404|409) /.test(error.message))) throw error
      return accepted.at(-1)
    })
  }

  /** The answers of those that were accepted. */
  private async lessen(method: string, path: string, body: unknown, headers: Headers): Promise<any[]> {
    const name = this.names(method, path, body)
    const schemas = routesOf(this.yard, () => true)
      .filter((one) => one.name === name)
      .flatMap(({ route }) => route.body ?? [])
    if (schemas.length === 0) return []
    const counts = this.tried.get(name) ?? { accepted: 0, refused: 0 }
    this.tried.set(name, counts)
    const answers: any[] = []
    const lesser: Lesser[] = [['no body', undefined], ...lesserBodies(body, schemas)]
    // the same queries: once on the slower kind of database
    const versions = this.yard.context.database.dialect === 'sqlite' ? [headers, oldest(headers)] : [headers]
    for (const [at, what, less] of versions.flatMap((at) => lesser.map((one) => [at, ...one] as const))) {
      const known = `${name}, ${what} at ${at[VERSION] ?? 'the oldest'}`
      if (this.known.has(known)) continue
      this.known.add(known)
      const { status, text } = await this.inject(method, path, at, less)
      if (status >= 500) this.wrong.push(`${known}: ${status} ${text.slice(0, 200)}`)
      if (status >= 400) counts.refused++
      else {
        counts.accepted++
        answers.push(text && JSON.parse(text))
        if (method === 'POST' && !path.endsWith('/action')) await this.takeAway(path, answers.at(-1), headers)
        else await this.yard.settled()
      }
    }
    await this.yard.settled()
    return answers
  }

  /** Of what was made too much; where that is not done by an address below this one, it stays. */
  private async takeAway(path: string, answer: any, headers: Headers): Promise<void> {
    const made = answer?.id || answer?.uuid ? answer : Object.values(answer ?? {})[0]
    for (const { id, uuid, name } of [made].flat().filter((one) => typeof one === 'object' && one !== null)) {
      const gone = () => this.inject('DELETE', `${path}/${id ?? uuid ?? name}`, headers)
      const { status, text } = /\/(os-)?(volumes|snapshots)$/.test(path)
        ? await eventually(gone, (now) => now.status !== 400) // not before it is there
        : await gone()
      if (status >= 500) this.wrong.push(`DELETE ${path}/:id: ${status} ${text.slice(0, 200)}`)
    }
  }

  private async inject(method: string, path: string, headers: Headers, body?: unknown): Promise<{ status: number; text: string }> {
    const { control, token } = this.yard.cloud
    const answer = await control.server.fastify.inject({
      method: method as 'GET',
      url: path,
      headers: { 'x-auth-token': token, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      payload: body === undefined ? undefined : JSON.stringify(body),
    })
    return { status: answer.statusCode, text: answer.payload }
  }
}

/** What is asked by who is nobody yet. */
async function logins({ cloud }: Yard, { ask }: Counts): Promise<void> {
  const [domain, password] = [{ id: 'default' }, 'once']
  const { user } = await cloud.api('POST', '/identity/v3/users', { user: { name: 'one', domain_id: domain.id, password } })
  const [identity, demo] = ['/identity/v3/auth/tokens', { name: 'demo', domain }]
  const mine = { methods: ['password'], password: { user: { name: 'admin', domain, password: cloud.secrets.adminPassword } } }
  await ask('POST', identity, { auth: { identity: mine, scope: { project: demo } } })
  await ask('POST', identity, { auth: { identity: { methods: ['token'], token: { id: cloud.token } }, scope: { project: demo } } })
  const [me] = (await cloud.api('GET', '/identity/v3/users?name=admin')).users
  const lent = await cloud.api('POST', `/identity/v3/users/${me.id}/application_credentials`, { application_credential: { name: 'one' } })
  const { id, secret } = lent.application_credential
  const application_credential = { id, secret, user: { id: me.id } }
  await ask('POST', identity, { auth: { identity: { methods: ['application_credential'], application_credential } } })
  const passwordCredentials = { username: 'admin', password: cloud.secrets.adminPassword }
  await ask('POST', '/identity/v2.0/tokens', { auth: { passwordCredentials, tenantName: 'demo' } })
  await ask('POST', `/identity/v3/users/${user.id}/password`, { user: { original_password: password, password: 'twice' } })
  const { token } = await cloud.api('POST', '/cluster/v1/join-tokens')
  await ask('POST', '/cluster/v1/join', { token, host: 'node9', roles: ['compute'] })
}

function walk(database: () => Promise<string | undefined>): void {
  let yard: Yard
  before(async () => {
    yard = await Yard.open({ hosts: 2, database: await database() })
  })
  after(() => yard.cloud.stop())

  test('a body in which something is missing or of another kind is accepted or refused, and nothing else', {
    timeout: 900_000,
  }, async () => {
    const counts = new Lessening(yard)
    const sower = new Sower(yard, new Counts(yard))
    await sower.prepare()
    const of = await sower.sow()
    await sower.extend(of)
    sower.counts = counts
    await sower.extend(await sower.sow())
    const stopped: string[] = []
    for (const [service, writes] of Object.entries(WRITES))
      await writes(of, { yard, counts, owners: sower.owners }).catch((error) => stopped.push(`${service}: ${error.message}`))
    await logins(yard, counts)
    const missing = routesOf(yard, ({ body }) => body !== undefined)
      .map(({ name }) => name)
      .filter((name) => !counts.tried.has(name))
    assert.deepEqual([...counts.wrong, ...missing], [], stopped.join('\n'))
    const all = [...counts.tried.values()]
    const [accepted, refused] = [all.reduce((sum, one) => sum + one.accepted, 0), all.reduce((sum, one) => sum + one.refused, 0)]
    assert.ok(accepted > 400 && refused > 1_200, `${accepted} accepted, ${refused} refused`)
    await yard.settled()
    assert.deepEqual(await yard.leaks(), [])
  })
}

onCloudDatabases(walk)
