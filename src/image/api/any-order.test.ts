import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { within } from '../../kernel/http/pace.ts'
import { DEMO, OTHER, people, type TestAnswer } from '../../kernel/http/testing.ts'
import type { Image } from '../app/image.ts'
import { reconcileData } from '../reconcilers/data.ts'
import { type ImageHouse, imageHouse, trusting } from '../testing.ts'

type Person = 'admin' | 'member' | 'other'

interface Asked {
  method: string
  path: string
  as?: Person
  body?: object
  text?: string
  headers?: Record<string, string>
  /** What an answer below 300 lets the run know. */
  told?: (answer: TestAnswer) => void
}

/** What has come to be by the deeds of one run. */
interface Made {
  images: string[]
  /** Data that were sent, each once: for which image, and by whom. */
  sent: Map<string, { image: string; by: Person }>
  /** Of which image which upload ended well. */
  kept: { image: string; text: string }[]
  /** Images that others than their first owner may have seen. */
  open: Set<string>
  /** Tags and properties whose addition was acknowledged. */
  added: { image: string; name: string }[]
  /** What a caller should not have got. */
  found: string[]
  count: number
}

/** Chooses among what is there: the number comes from the run's seed. */
type Deed = (made: Made, n: number) => Asked

const among = <T>(rows: readonly T[], n: number): T => rows[n % rows.length]!
const someone = (n: number): Person => among(['member', 'member', 'other', 'admin'], n)
const projectOf = (as: Person): string => people[as]!.projectId!
const octets = { 'content-type': 'application/octet-stream' }
const formats = { disk_format: 'qcow2', container_format: 'bare' }

/** Data that nobody else sends, most of them harmless. */
function data(made: Made, image: string, as: Person, n: number): string {
  const text = `${n % 5 === 4 ? 'HOSTILE ' : 'data '}${made.count++} `.repeat(1 + (n % 3) * 20_000)
  made.sent.set(text, { image, by: as })
  return text
}

/** A deed to one of the images, by one of those who may know of it or not. */
const about =
  (ask: (made: Made, image: string, as: Person, n: number) => Omit<Asked, 'as'>): Deed =>
  (made, n) => {
    const image = among(made.images, Math.floor(n / 4))
    const as = someone(n)
    const asked = ask(made, image, as, n)
    return { ...asked, path: `/images/${image}${asked.path}`, as }
  }
const plain = (method: string, path: string, body?: object): Deed => about(() => ({ method, path, body }))
const patch = (change: (made: Made, image: string, n: number) => object, told?: (made: Made, image: string) => void): Deed =>
  about((made, image, _as, n) => ({
    method: 'PATCH',
    path: '',
    text: JSON.stringify([change(made, image, n)]),
    headers: { 'content-type': 'application/openstack-images-v2.1-json-patch' },
    told: () => told?.(made, image),
  }))
const set = (name: string, ...values: unknown[]): Deed =>
  patch((_made, _image, n) => ({ op: 'replace', path: `/${name}`, value: among(values, n) }))

const deeds: Record<string, Deed> = {
  record: (made, n) => ({
    method: 'POST',
    path: '/images',
    as: someone(n),
    body: { ...formats, visibility: among(['private', 'shared', 'shared'], n), tags: ['first'], first: 'x' },
    told: ({ body }) => void made.images.push(body.id),
  }),
  'record of an id that was': (made, n) => ({
    method: 'POST',
    path: '/images',
    as: someone(n),
    body: { ...formats, id: among(made.images, Math.floor(n / 4)), tags: ['first'], first: 'x' },
  }),
  upload: about((made, image, as, n) => {
    const text = data(made, image, as, n)
    return { method: 'PUT', path: '/file', text, headers: octets, told: () => void made.kept.push({ image, text }) }
  }),
  stage: about((made, image, as, n) => ({ method: 'PUT', path: '/stage', text: data(made, image, as, n), headers: octets })),
  import: plain('POST', '/import', { method: { name: 'glance-direct' } }),
  fetch: about((made, image, as, n) => ({
    method: 'POST',
    path: '/import',
    body: { method: { name: 'web-download', uri: web.offer(data(made, image, as, n), among(['given', 'given', 'missing', 'broken'], n)) } },
  })),
  download: about((made, image, as) => ({
    method: 'GET',
    path: '/file',
    told: ({ status, body }) => {
      const source = made.sent.get(String(body))
      if (status === 204) return
      if (source?.image !== image) made.found.push(`${as} got of image ${image} what it never had: ${String(body).slice(0, 40)}`)
      // an administrator sends data to anybody's
      else if (as !== 'admin' && source.by !== 'admin' && source.by !== as && !made.open.has(image))
        made.found.push(`${as} got ${image}, which is not theirs`)
    },
  })),
  'download of a part': about(() => ({ method: 'GET', path: '/file', headers: { range: 'bytes=0-0' } })),
  show: about((made, image, as) => ({
    method: 'GET',
    path: '',
    told: ({ body }) => {
      if (as !== 'admin' && body.owner !== projectOf(as) && !made.open.has(image))
        made.found.push(`${as} saw ${image}, which is not theirs`)
    },
  })),
  tasks: plain('GET', '/tasks'),
  list: (_made, n) => ({ method: 'GET', path: `/images?visibility=all&member_status=all&limit=${1 + n}`, as: someone(n) }),
  deactivate: plain('POST', '/actions/deactivate'),
  reactivate: plain('POST', '/actions/reactivate'),
  tag: about((made, image) => {
    const name = `t${made.count++}`
    return { method: 'PUT', path: `/tags/${name}`, told: () => void made.added.push({ image, name }) }
  }),
  'first tag away': plain('DELETE', '/tags/first'),
  property: (made, n) => {
    const name = `p${made.count++}`
    return patch(
      () => ({ op: 'add', path: `/${name}`, value: 'x' }),
      (_made, image) => void made.added.push({ image, name }),
    )(made, n)
  },
  'first property away': patch(() => ({ op: 'remove', path: '/first' })),
  rename: set('name', 'two', null),
  protect: set('protected', true, false, false),
  hide: set('os_hidden', true, false),
  'other format': set('disk_format', 'raw', 'vmdk', null),
  visibility: patch((made, image, n) => {
    made.open.add(image)
    return { op: 'replace', path: '/visibility', value: among(['private', 'shared', 'community', 'public'], Math.floor(n / 3)) }
  }),
  'other owner': patch((made, image, n) => {
    made.open.add(image)
    return { op: 'replace', path: '/owner', value: among([OTHER, DEMO], Math.floor(n / 4)) }
  }),
  share: about((made, image, _as, n) => {
    made.open.add(image)
    return { method: 'POST', path: '/members', body: { member: among([OTHER, DEMO], n) } }
  }),
  answer: about((_made, _image, _as, n) => ({
    method: 'PUT',
    path: `/members/${among([OTHER, OTHER, DEMO], n)}`,
    body: { status: among(['accepted', 'rejected', 'pending'], n) },
  })),
  unshare: plain('DELETE', `/members/${OTHER}`),
  members: plain('GET', '/members'),
  delete: plain('DELETE', ''),
}

/** Gives data to imports: all of it, not at all, or half. */
const web = {
  server: undefined as Server | undefined,
  offered: [] as string[],
  offer(text: string, how: string): string {
    return `http://127.0.0.1:${(this.server!.address() as AddressInfo).port}/${how}/${this.offered.push(text) - 1}`
  },
  answer({ url }: IncomingMessage, response: ServerResponse): void {
    const [, how, n] = url!.split('/')
    const text = web.offered[Number(n)]!
    if (how === 'missing') response.writeHead(404).end()
    else if (how === 'given') response.end(text)
    else response.writeHead(200, { 'content-length': String(text.length + 1) }).write(text, () => response.destroy())
  },
}
before(async () => {
  web.server = createServer(web.answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => web.server!.once('listening', resolve))
})
after(() => web.server!.close())

/** To look at data takes its time, in which others ask. */
async function turns(): Promise<void> {
  for (let n = Math.floor(Math.random() * 12); n > 0; n--) await new Promise(setImmediate)
}

/** ms for all that was begun to come to an end. */
const REST_MS = 10_000

const ask = fc.record({ deed: fc.constantFrom(...Object.keys(deeds)), n: fc.nat(23) })
const asked = fc.array(ask, { minLength: 1, maxLength: 5 })
const steps = fc.array(fc.record({ asked, waited: fc.boolean(), reconciled: fc.boolean() }), { minLength: 2, maxLength: 12 })

eachDatabaseUrl((fresh) => {
  /** Control processes that share the images, where the database may be shared. */
  const houses: ImageHouse[] = []
  before(async () => {
    const databaseUrl = await fresh()
    for (const n of databaseUrl.startsWith('mysql:') ? [0, 1] : [0])
      houses.push(
        await imageHouse({
          databaseUrl,
          ...(houses[0] ? { directory: houses[0].directory } : {}),
          exclusive: n === 0,
          webSources: { trustedHosts: ['127.0.0.1'] },
          inspect: (...given) => turns().then(() => trusting(...given)),
        }),
      )
  })
  after(async () => {
    for (const house of houses) await house.close()
  })

  const ask = async (made: Made, said: string[], deed: string, n: number) => {
    const { method, path, told, ...options } = deeds[deed]!(made, n)
    const answer = await among(houses, made.count++).request(method, `/image/v2${path}`, options)
    said.push(`${deed} ${options.as} ${answer.status}`)
    assert.ok(answer.status < 500, `${said.join(', ')}: ${JSON.stringify(answer.body)}`)
    if (answer.status < 300) told?.(answer)
  }

  test('whatever is asked of images in whatever order, one after the other and at once: never a 5xx, and all comes to rest', {
    timeout: 900_000,
  }, async () => {
    const property = fc.asyncProperty(steps, async (wanted) => {
      const made: Made = { images: [], sent: new Map(), kept: [], open: new Set(), added: [], found: [], count: 0 }
      const said: string[] = []
      const rest = () =>
        within(
          REST_MS,
          Promise.all(houses.flatMap(({ service }) => [...service.context.imports])),
          () => new Error(`not at rest: ${said.join(', ')}`),
        )
      await ask(made, said, 'record', 0)
      for (const { asked, waited, reconciled } of wanted) {
        if (waited) await rest()
        const reconciling = reconciled ? houses.map(({ service }) => reconcileData(service.context)) : []
        await Promise.all([...asked.map(({ deed, n }) => ask(made, said, deed, n)), ...reconciling])
      }
      await rest()
      const house = houses[0]!
      assert.deepEqual([...made.found, ...(await wrong(house, made)), ...(await cleared(house))], [], said.join(', '))
    })
    await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 60), endOnFailure: true })
  })
})

const HANGING = ['image_tags', 'image_properties', 'image_members', 'image_tasks'] as const

/** What the rows, the files and the answers say of each other. */
async function wrong(house: ImageHouse, made: Made): Promise<string[]> {
  const { database, store } = house.service.context
  const images = (await house.request('GET', '/image/v2/images?visibility=all&limit=1000')).body.images
  const hidden = (await house.request('GET', '/image/v2/images?visibility=all&os_hidden=true&limit=1000')).body.images
  const files = await store.list()
  const rows = await database.db.selectFrom('images').selectAll().execute()
  const found: string[] = []
  if (images.length + hidden.length !== rows.length) found.push(`${rows.length} images, ${images.length + hidden.length} of them listed`)
  for (const row of rows) found.push(...(await wrongOf(house, made, { ...row, tags: [], properties: {} })))
  for (const { kind, id } of files)
    if (!rows.some((row) => (kind === 'part' ? row.upload_id : row.id) === id)) found.push(`the ${kind} ${id} is nobody's`)
  for (const table of HANGING)
    for (const { image_id } of await database.db.selectFrom(table).select('image_id').execute())
      if (!rows.some(({ id }) => id === image_id)) found.push(`${table} has something of image ${image_id}, which is gone`)
  for (const { image_id, status } of await database.db.selectFrom('image_tasks').selectAll().execute())
    if (status === 'processing') found.push(`a task of image ${image_id} goes on`)
  const there = new Map([...images, ...hidden].map((one) => [one.id, one]))
  for (const one of there.values())
    if (one.os_glance_import_error && one.stores && !made.kept.some(({ image }) => image === one.id))
      found.push(`image ${one.id} was imported and says that it was not`)
  for (const { image, name } of made.added) {
    const one = there.get(image)
    if (one && !one.tags.includes(name) && !(name in one)) found.push(`image ${image} lost ${name}`)
  }
  return found
}

async function wrongOf(house: ImageHouse, made: Made, row: Image): Promise<string[]> {
  const { store } = house.service.context
  const found: string[] = []
  const kept = made.kept.filter((one) => one.image === row.id)
  if (kept.length > 1) found.push(`image ${row.id} took ${kept.length} uploads`)
  const active = row.status === 'active' || row.status === 'deactivated'
  if (!active && row.status !== 'queued' && row.status !== 'uploading') found.push(`image ${row.id} is still ${row.status}`)
  if (kept.length > 0 && !active) found.push(`image ${row.id} took its data and is ${row.status}`)
  const path = active ? store.path(row.id) : store.partPath(row.upload_id ?? '')
  const isThere = (await store.list()).some((file) => (active ? file.kind === 'data' && file.id === row.id : file.id === row.upload_id))
  if (row.status === 'queued') {
    if (row.upload_id ?? row.size ?? row.checksum) found.push(`image ${row.id} is queued and has ${JSON.stringify(row)}`)
    if (existsSync(store.path(row.id))) found.push(`image ${row.id} is queued and has data`)
    return found
  }
  if (!isThere) return [...found, `image ${row.id} is ${row.status} without data`]
  const bytes = readFileSync(path)
  const hash = (name: string) => createHash(name).update(bytes).digest('hex')
  if (row.size !== bytes.length || row.checksum !== hash('md5') || row.hash_value !== hash('sha512'))
    found.push(`image ${row.id} has other data than its row says`)
  if (made.sent.get(bytes.toString())?.image !== row.id) found.push(`image ${row.id} has data that nobody sent it`)
  if (kept[0] && kept[0].text !== bytes.toString()) found.push(`image ${row.id} has other data than the upload that it acknowledged`)
  return found
}

/** Ends everything as an administrator would; what is left then. */
async function cleared(house: ImageHouse): Promise<string[]> {
  const { database, store } = house.service.context
  const found: string[] = []
  for (const { id } of await database.db.selectFrom('images').select('id').execute()) {
    await house.patch(id, [{ op: 'replace', path: '/protected', value: false }])
    const { status } = await house.request('DELETE', `/image/v2/images/${id}`)
    if (status !== 204) found.push(`the deletion of ${id} says ${status}`)
  }
  for (const table of ['images', ...HANGING] as const)
    for (const row of await database.db.selectFrom(table).selectAll().execute()) found.push(`${table}: ${JSON.stringify(row)}`)
  for (const { name } of await store.list()) found.push(`the store has ${name}`)
  return found
}
