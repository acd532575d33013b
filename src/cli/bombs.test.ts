import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { onCloudDatabases } from '../cloud/databases-testing.ts'
import { House } from '../compute/testing.ts'
import type { Api } from '../kernel/http/api.ts'
import { fittingBody } from '../kernel/http/junk-testing.ts'
import type { Route } from '../kernel/http/route.ts'

/** What would take away the one who asks, or all that the others are about. */
const SPARED =
  /^(DELETE|PATCH|POST) .*\/(auth\/tokens|users\/:id(\/password)?|projects\/:id|domains\/:id|roles\/:id|services\/:id|endpoints\/:id)$|forceDelete/
const BYTES = 100 * 1024
/** Of the values that each place could have: all where YUN_TEST_RUNS is set, which takes minutes. Twelve values and five make each place have others. */
const ONE_IN = process.env.YUN_TEST_RUNS ? 1 : 5
/** ms that an answer may take, also on a machine that does other things. */
const PROMPT_MS = 3_000

const nest = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const NAMES = Array.from({ length: 5_000 }, (_, i) => `n${i}`)
const VALUES: [what: string, value: unknown][] = [
  ['a long text', 'a'.repeat(BYTES - 2_000)],
  ['a text of 300 characters', 'x'.repeat(300)],
  ['a text of 256 astral characters', '\u{1f4a9}'.repeat(256)],
  ['text that is no text', 'a\u0000b\ud800\ufffe\u202e'],
  ['text that is hardly text', 'a\u0000b\ufffe\u202e\n\r;$(id)%s'],
  ['more than 32 bits', 2 ** 31],
  ['more than 64 bits', 1e20],
  ['a huge number', -1e308],
  ['a part of one', 0.1],
  ['many items', [...NAMES, ...NAMES]],
  ['many names', Object.fromEntries(NAMES.map((each) => [each, each]))],
  ['a deep object', Array.from({ length: 90 }).reduce((inner) => ({ x: inner }), 1)],
]

/** Each place in a body where the schema says something, as a path of names. */
function places(schema: any, at: string[] = []): string[][] {
  const inside = Object.entries(schema?.properties ?? {}).flatMap(([name, one]) => places(one, [...at, name]))
  if (schema?.items) inside.push(...places(schema.items, [...at, '[]']))
  const choices = [...(schema?.anyOf ?? []), ...(schema?.oneOf ?? [])].flatMap((one: any) => places(one, at))
  return [...(at.length > 0 ? [at] : []), ...inside, ...choices].filter(
    (one, i, all) => all.findIndex((other) => other.join('/') === one.join('/')) === i,
  )
}

function put(body: any, [name, ...rest]: string[], value: unknown): any {
  const inside = (was: any) => (rest.length === 0 ? value : put(was, rest, value))
  if (name === '[]') return [inside(Array.isArray(body) ? body[0] : undefined)]
  const here = typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {}
  return { ...here, [name!]: inside(here[name!]) }
}

function walk(database: () => Promise<string | undefined>): void {
  let house: House
  /** Beginning of an address → what its first id is. */
  let real: Record<string, string>
  before(async () => {
    house = await House.open({ database: await database() })
    const post = async (path: string, body: object) =>
      Object.values((await house.request('POST', path, { body, as: 'admin' })).body)[0] as { id: string }
    const own = { name: 'own' }
    const network = (await post('/network/v2.0/networks', { network: own })).id
    real = {
      '/compute/v2.1/servers/': (await house.server()).id,
      '/compute/v2.1/os-keypairs/': 'own',
      '/compute/v2.1/flavors/': house.yard.flavorId,
      '/compute/v2.1/os-aggregates/': String((await post('/compute/v2.1/os-aggregates', { aggregate: own })).id),
      '/network/v2.0/networks/': network,
      '/network/v2.0/subnets/': (
        await post('/network/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.8.0.0/24' } })
      ).id,
      '/network/v2.0/subnetpools/': (await post('/network/v2.0/subnetpools', { subnetpool: { ...own, prefixes: ['10.64.0.0/16'] } })).id,
      '/network/v2.0/ports/': (await post('/network/v2.0/ports', { port: { network_id: network } })).id,
      '/network/v2.0/routers/': (await post('/network/v2.0/routers', { router: own })).id,
      '/network/v2.0/security-groups/': (await post('/network/v2.0/security-groups', { security_group: own })).id,
      '/volume/v3/volumes/': (await post('/volume/v3/volumes', { volume: { size: 1 } })).id,
      '/volume/v3/types/': (await post('/volume/v3/types', { volume_type: own })).id,
      '/image/v2/images/': (await house.request('POST', '/image/v2/images', { body: own, as: 'admin' })).body.id,
      '/identity/v3/projects/': house.alpha,
      '': 'own',
    }
    await house.request('POST', '/image/v2/metadefs/namespaces', { body: { namespace: 'own' }, as: 'admin' })
    await house.yard.settled()
  })
  after(() => house.stop())

  const apis = () => house.yard.cloud.control.server.apis.filter(({ alias }) => alias === undefined)
  const nameOf = (api: Api, route: Route) => `${route.method} ${api.prefix}${route.path} ${route.action ?? ''}`.trim()
  const all = () =>
    apis()
      .flatMap((api) => api.routes.filter(({ body }) => body).map((route) => ({ api, route, name: nameOf(api, route) })))
      .filter(({ name }) => !SPARED.test(name))

  async function send({ api, route }: { api: Api; route: Route }, text: string | Buffer, headers: Record<string, string> = {}, query = '') {
    const address = `${api.prefix}${route.path === '/' ? '' : route.path}`
    const known = Object.keys(real)
      .filter((path) => address.startsWith(path))
      .toSorted((a, b) => b.length - a.length)[0]!
    const version = route.microversions?.max ?? api.microversions?.max
    const began = performance.now()
    const answer = await house.request(route.method, `${address.replace(/:\w+/, real[known]!).replace(/:\w+/g, 'own')}?${query}`, {
      as: 'admin',
      ...(text === '' ? {} : { text }),
      headers: { ...(version ? { 'openstack-api-version': `${api.microversions!.service} ${version}` } : {}), ...headers },
    })
    return { ...answer, ms: performance.now() - began }
  }

  test('no value is too large, too long or too deep for an answer, wherever in a body it stands', { timeout: 1_800_000 }, async () => {
    const wrong: string[] = []
    let turn = 0
    for (const one of all()) {
      const base = fittingBody(one.route)
      const bodies: [string, string][] = [['of depth', nest(50_000)]]
      for (const place of places(one.route.body)) {
        const holding = (value: unknown) => JSON.stringify(put(base, place, value))
        for (const [what, value] of VALUES.filter(() => turn++ % ONE_IN === 0))
          bodies.push([`${what} at ${place.join('.')}`, holding(value)])
      }
      for (const [what, text] of bodies) {
        const { status, message, ms } = await send(one, text)
        if (status >= 500) wrong.push(`${one.name}, ${what}: ${status} ${message.slice(0, 200)}`)
        if (ms > PROMPT_MS) wrong.push(`${one.name}, ${what}: ${Math.round(ms)} ms`)
      }
    }
    assert.deepEqual(wrong, [])
  })

  test('no query is too long, and no word in it is anything but a word', { timeout: 1_800_000 }, async () => {
    const wrong: string[] = []
    const words = [
      'a'.repeat(10_000),
      'x'.repeat(300),
      'a%00b',
      '%f0%9f%92%a9'.repeat(70),
      '-1',
      '1e400',
      '99999999999999999999',
      '0.5',
      '',
      '__proto__',
      'constructor:desc',
      '%27%29%3B--',
      '%25%5F*(.*)%2B%5B',
      'in:a,b',
      'gte:9999-99-99',
      '%3E%3D%201',
      '%20',
      'null',
      '2026-02-30T25:61:61Z',
      '[]',
      '%7B',
    ]
    const routes = apis()
      .flatMap((api) => api.routes.map((route) => ({ api, route, name: nameOf(api, route) })))
      .filter(
        ({ route }) => /GET|DELETE/.test(route.method) && route.query && !/DELETE .*:(id|server_id)$/.test(`${route.method} ${route.path}`),
      )
    let turn = 0
    for (const one of routes) {
      const named = [
        ...Object.keys((one.route.query as { properties?: object }).properties ?? {}),
        'limit',
        'marker',
        'sort_key',
        'fields',
        '__proto__',
      ]
      const queries = named.flatMap((name) => [
        ...words.filter(() => turn++ % ONE_IN === 0).map((word) => `${name}=${word}`),
        Array.from({ length: 700 }, (_, i) => `${name}=${i}`).join('&'),
      ])
      for (const query of queries) {
        const { status, message, ms } = await send(one, '', {}, query)
        if (status >= 500) wrong.push(`${one.name}?${query.slice(0, 60)}: ${status} ${message.slice(0, 200)}`)
        if (ms > PROMPT_MS) wrong.push(`${one.name}?${query.slice(0, 60)}: ${Math.round(ms)} ms`)
      }
    }
    assert.ok(routes.length > 100, `${routes.length} routes`)
    assert.deepEqual(wrong, [])
  })

  test('what is packed, in parts or longer than is taken is no document', { timeout: 600_000 }, async () => {
    const wrong: string[] = []
    const parts = '--x\r\nContent-Disposition: form-data; name="a"; filename="../../etc/passwd"\r\n\r\n{}\r\n--x--\r\n'
    for (const one of all()) {
      const body = JSON.stringify(fittingBody(one.route))
      const told = async (what: string, right: number[], text: string | Buffer, headers: Record<string, string> = {}) => {
        const { status, message } = await send(one, text, headers)
        if (!right.includes(status)) wrong.push(`${one.name}, ${what}: ${status} ${message}`)
      }
      await told('gzip', [400], gzipSync(body), { 'content-encoding': 'gzip' })
      await told('multipart', [400], parts, { 'content-type': 'multipart/form-data; boundary=x' })
      await told('a megabyte of blanks', [413], body + ' '.repeat(2 ** 21))
    }
    assert.deepEqual(wrong, [])
  })
}

onCloudDatabases(walk)
