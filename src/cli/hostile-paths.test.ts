import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { onCloudDatabases } from '../cloud/databases-testing.ts'
import { eventually } from '../compute/sagas/testing.ts'
import { House } from '../compute/testing.ts'
import { Fault } from '../kernel/errors/errors.ts'
import type { Api } from '../kernel/http/api.ts'
import { fittingBody } from '../kernel/http/junk-testing.ts'
import type { Route } from '../kernel/http/route.ts'

/** As they stand in an address. */
const HOSTILE = {
  'leads up': '..%2F..%2F..%2Fetc%2Fpasswd',
  'is the directory above': '%2e%2e',
  'is encoded twice': '%252e%252e%252fyun.yaml',
  'ends early': '1%00.json',
  'is no UTF-8': '%ff%fe',
  'hides dots in UTF-8': '%c0%ae%c0%ae%c0%af',
  'is half a character': '%F0%9F',
  'begins another line': 'x%0d%0aX-Evil:%20y',
  'looks like an option': '-rf',
  'is a command': encodeURIComponent('$(touch /tmp/x);`id`|&'),
  'is SQL': encodeURIComponent(`' OR '1'='1' --`),
  'is a pattern': encodeURIComponent('%_*?[a-z]'),
  'is long': 'x'.repeat(500),
  'is longer than any': 'x'.repeat(4_000),
  'reads from right to left': encodeURIComponent('\u202etxt.\u{1f4a9}'),
  'is a part of every object': '__proto__',
  'is another part of every object': 'constructor',
}

/** What takes any name, or says of whatever it is asked that there is none. */
const TAKES_ANY = [
  /^(PUT|DELETE) .*\/tags\/:tag$/,
  /^POST .*\/metadefs\/namespaces\/:namespace\/tags\/:name$/,
  /^(GET|PUT|DELETE) .*\/(quotas|os-quota-sets|os-quota-class-sets)\/:/,
  /^GET .*\/os-simple-tenant-usage\/:project$/,
  /^GET .*\/(users|groups)\/:actor_id\/roles(\/inherited_to_projects)?$/,
  /^GET .*\/users\/:id\/application_credentials$/,
  /^GET \/placement\/allocations\/:consumer_uuid$/,
  /^DELETE .*\/auto-allocated-topology\/:id$/,
]

/** A body that the route's schema lets through, so that the id is what is wrong. */
function fitting(route: Route): string | null {
  if (route.stream) return 'data'
  if (!route.body) return null
  return JSON.stringify(fittingBody(route))
}

function walk(database: () => Promise<string | undefined>): void {
  let house: House
  /** What is there, for the first id of an address with more than one. */
  let real: Record<string, string>
  before(async () => {
    house = await House.open({ database: await database() })
    const server = (await house.server()).id
    const { networkId, imageId } = house.yard
    const { volume } = (await house.request('POST', '/volume/v3/volumes', { body: { volume: { size: 1 } }, as: 'admin' })).body
    await house.request('POST', '/image/v2/metadefs/namespaces', { body: { namespace: 'own', visibility: 'private' }, as: 'admin' })
    const shown = () => house.request('GET', `/volume/v3/volumes/${volume.id}`, { as: 'admin' })
    await eventually(shown, ({ body }) => body.volume.status === 'available')
    await house.yard.settled()
    real = { server_id: server, network_id: networkId, image_id: imageId, volume_id: volume.id, namespace: 'own', project_id: house.alpha }
  })
  after(() => house.stop())

  /** By no client: it would make of the address what it should be. */
  async function ask({ api, route, body }: { api: Api; route: Route; body: string | null }, path: string) {
    const version = route.microversions?.max ?? api.microversions?.max
    const headers: Record<string, string> = {
      'x-auth-token': house.token('admin'),
      'content-type': route.stream ? 'application/octet-stream' : 'application/json',
      ...(version ? { 'openstack-api-version': `${api.microversions!.service} ${version}` } : {}),
    }
    const { edge } = house.yard.cloud.control.server
    const answer = (await edge.answer({ method: route.method, url: path, headers, ip: '192.0.2.1', body }))!
    const said = answer.body instanceof Readable ? Buffer.concat(await answer.body.toArray()) : (answer.body ?? '')
    return { status: answer.status, headers: Object.values(answer.headers).join(' '), text: said.toString() }
  }

  /** The cloud's files and directories, and what lies beside them. */
  function files(): string[] {
    const state = house.yard.cloud.stateDir
    const own = readdirSync(state, { recursive: true }).map(String)
    const beside = readdirSync(dirname(state)).filter((name) => /passwd|yun\.yaml|^x$|^-rf/.test(name))
    return [...own.filter((name) => !/-(wal|shm)$/.test(name)), ...beside].sort()
  }

  test('no id in an address is taken for anything but an id, and no file is where none was', { timeout: 900_000 }, async () => {
    const routes = house.yard.cloud.control.server.apis
      .filter(({ alias }) => alias === undefined)
      .flatMap((api) => api.routes.filter(({ path }) => path.includes(':')).map((route) => ({ api, route, body: fitting(route) })))
    const before = files()
    const wrong: string[] = []
    let refused = 0
    for (const one of routes) {
      const { api, route } = one
      const name = `${route.method} ${api.prefix}${route.path} ${route.action ?? ''}`.trim()
      const [first, ...others] = route.path.match(/(?<=:)\w+/g)!
      const there = others.length > 0 ? real[first!] : undefined
      for (const [what, id] of Object.entries(HOSTILE))
        for (const beginning of there ? [id, there] : [id]) {
          const path = `${api.prefix}${route.path.replace(/:\w+/, () => beginning).replace(/:\w+/g, () => id)}`
          const { status, headers, text } = await ask(one, path)
          const right = status < 400 ? TAKES_ANY.some((any) => any.test(name)) : status < 500 && isFault(api, text)
          if (!right) wrong.push(`${name}, an id that ${what}: ${status} ${text.slice(0, 200)}`)
          if (/[^\x20-\x7e]/.test(headers)) wrong.push(`${name}, an id that ${what}: headers that nobody can send: ${headers}`)
          if (status >= 400) refused++
        }
    }
    assert.ok(routes.length > 500 && refused > 8_000, `${routes.length} routes, ${refused} refusals`)
    assert.deepEqual(wrong, [])
    await house.yard.settled()
    assert.deepEqual(files(), before)
    assert.deepEqual(await house.yard.leaks(), [])
  })
}

/** In the words of its own service: one object with one name, as that service's faults have it. */
function isFault(api: Api, text: string): boolean {
  const shape = (document: object) => JSON.stringify(Object.keys(Object.values(document)[0] ?? {}))
  try {
    const said = JSON.parse(text)
    return shape(said) === shape(api.fault(new Fault(404, 'NotFound', 'x'), 'req-x') as object)
  } catch {
    return false
  }
}

onCloudDatabases(walk)
