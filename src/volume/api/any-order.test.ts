import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { within } from '../../kernel/http/pace.ts'
import { DEMO, OTHER, type people, type TestAnswer } from '../../kernel/http/testing.ts'
import { VOLUME_STATUSES } from '../app/operations.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
/** On MariaDB two control processes, who are asked by turns. */
let houses: VolumeHouse[]
let imageId: string
let typeNames: string[]

/** What a storage host does takes its time, in which others ask. */
async function turns(): Promise<void> {
  for (let n = Math.floor(Math.random() * 12); n > 0; n--) await new Promise(setImmediate)
}

type Asked = { method: string; path: string; body?: object; as?: keyof typeof people } | null

/** Nothing is under way in any process: what one of them ends, another may wait for. */
async function idle(): Promise<void> {
  for (const one of [...houses, ...houses]) await one.idle()
}

/** What has come to be by the deeds of one run. */
interface Made {
  volumes: string[]
  snapshots: string[]
  attachments: string[]
  transfers: { id: string; key: string }[]
  /** Volumes that somebody said a status of. */
  decreed: Set<string>
}

/** Chooses among what is there: the number comes from the run's seed. */
type Deed = (made: Made, n: number) => Asked

const among = <T>(rows: T[], n: number): T | undefined => rows[n % Math.max(1, rows.length)]
const connector = { host: 'node-1', ip: '127.0.0.1', initiator: 'iqn.1993-08.org.debian:01:a' }

const act =
  (name: string, body: unknown | ((made: Made, n: number) => unknown) = null, as: keyof typeof people = 'member'): Deed =>
  (made, n) => ({
    method: 'POST',
    path: `/volumes/${among(made.volumes, n)}/action`,
    body: { [name]: typeof body === 'function' ? body(made, n) : body },
    as,
  })
const volume =
  (body: (made: Made, n: number) => object | null): Deed =>
  (made, n) => {
    const own = body(made, n)
    return own && { method: 'POST', path: '/volumes', body: { volume: own } }
  }
const onSnapshot =
  (method: string, path: string, body?: object): Deed =>
  (made, n) =>
    made.snapshots.length > 0 ? { method, path: `/snapshots/${among(made.snapshots, n)}${path}`, body, as: 'admin' } : null
const onAttachment =
  (method: string, path: string, body?: object): Deed =>
  (made, n) =>
    made.attachments.length > 0 ? { method, path: `/attachments/${among(made.attachments, n)}${path}`, body } : null
const onTransfer =
  (ask: (transfer: { id: string; key: string }) => Asked): Deed =>
  (made, n) =>
    made.transfers.length > 0 ? ask(among(made.transfers, n)!) : null

const SNAPSHOT_STATUSES = ['creating', 'deleting', 'error_deleting', 'available', 'error']

const deeds: Record<string, Deed> = {
  'a volume': volume(() => ({ size: 1 })),
  'one of an image': volume(() => ({ size: 1, imageRef: imageId })),
  'one of a snapshot': volume((made, n) => (made.snapshots.length > 0 ? { snapshot_id: among(made.snapshots, n) } : null)),
  'one of a volume': volume((made, n) => ({ source_volid: among(made.volumes, n) })),
  extend: act('os-extend', (_made: Made, n: number) => ({ new_size: 2 + (n % 5) })),
  delete: (made, n) => ({ method: 'DELETE', path: `/volumes/${among(made.volumes, n)}` }),
  'delete with snapshots': (made, n) => ({ method: 'DELETE', path: `/volumes/${among(made.volumes, n)}?cascade=true` }),
  'delete by force': act('os-force_delete', null, 'admin'),
  'delete all by force': (made, n) => ({
    method: 'DELETE',
    path: `/volumes/${among(made.volumes, n)}?cascade=true&force=true`,
    as: 'admin',
  }),
  rename: (made, n) => ({
    method: 'PUT',
    path: `/volumes/${among(made.volumes, n)}`,
    body: { volume: { name: 'new', metadata: { a: 'b' } } },
  }),
  note: (made, n) => ({ method: 'POST', path: `/volumes/${among(made.volumes, n)}/metadata`, body: { metadata: { c: 'd' } } }),
  'note of the image': act('os-set_image_metadata', { metadata: { os: 'linux' } }),
  snapshot: (made, n) => ({ method: 'POST', path: '/snapshots', body: { snapshot: { volume_id: among(made.volumes, n), force: true } } }),
  'delete snapshot': onSnapshot('DELETE', ''),
  'delete snapshot by force': onSnapshot('POST', '/action', { 'os-force_delete': {} }),
  'note of the snapshot': onSnapshot('POST', '/metadata', { metadata: { e: 'f' } }),
  revert: act('revert', (made: Made, n: number) => ({ snapshot_id: among(made.snapshots, n) ?? randomUUID() })),
  retype: act('os-retype', (_made: Made, n: number) => ({ new_type: among(typeNames, n) })),
  reimage: act('os-reimage', (_made: Made, n: number) => ({ image_id: imageId, reimage_reserved: n % 2 === 0 })),
  upload: act('os-volume_upload_image', (_made: Made, n: number) => ({ image_name: 'picture', force: n % 2 === 0 })),
  offer: (made, n) => ({ method: 'POST', path: '/volume-transfers', body: { transfer: { volume_id: among(made.volumes, n) } } }),
  'offer without snapshots': (made, n) => ({
    method: 'POST',
    path: '/volume-transfers',
    body: { transfer: { volume_id: among(made.volumes, n), no_snapshots: true } },
  }),
  accept: onTransfer(({ id, key }) => ({
    method: 'POST',
    path: `/volume-transfers/${id}/accept`,
    body: { accept: { auth_key: key } },
    as: 'other',
  })),
  withdraw: onTransfer(({ id }) => ({ method: 'DELETE', path: `/volume-transfers/${id}` })),
  reserve: act('os-reserve'),
  unreserve: act('os-unreserve'),
  'begin detaching': act('os-begin_detaching'),
  'roll detaching': act('os-roll_detaching'),
  'initialize connection': act('os-initialize_connection', { connector }),
  'terminate connection': act('os-terminate_connection', { connector }),
  attach: act('os-attach', { instance_uuid: randomUUID(), mountpoint: '/dev/vdb' }),
  detach: act('os-detach', {}),
  'detach by force': act('os-force_detach', {}, 'admin'),
  attachment: (made, n) => ({
    method: 'POST',
    path: '/attachments',
    body: { attachment: { volume_uuid: among(made.volumes, n), instance_uuid: randomUUID() } },
  }),
  'attachment with connector': (made, n) => ({
    method: 'POST',
    path: '/attachments',
    body: { attachment: { volume_uuid: among(made.volumes, n), instance_uuid: randomUUID(), connector } },
  }),
  connect: onAttachment('PUT', '', { attachment: { connector } }),
  complete: onAttachment('POST', '/action', { 'os-complete': {} }),
  'end attachment': onAttachment('DELETE', ''),
  'set bootable': act('os-set_bootable', { bootable: true }),
  'set read-only': act('os-update_readonly_flag', (_made: Made, n: number) => ({ readonly: n % 2 === 0 })),
  'reset to anything': act('os-reset_status', (_made: Made, n: number) => ({ status: among(VOLUME_STATUSES, n) }), 'admin'),
  'reset to available': act('os-reset_status', { status: 'available' }, 'admin'),
  'reset to error': act('os-reset_status', { status: 'error' }, 'admin'),
  'reset to in-use': act('os-reset_status', { status: 'in-use' }, 'admin'),
  'reset snapshot to available': onSnapshot('POST', '/action', { 'os-reset_status': { status: 'available' } }),
  'reset snapshot to error': onSnapshot('POST', '/action', { 'os-reset_status': { status: 'error' } }),
  'reset snapshot to anything': (made, n) =>
    onSnapshot('POST', '/action', { 'os-reset_status': { status: among(SNAPSHOT_STATUSES, n) } })(made, n),
  'reset to detached': act('os-reset_status', { attach_status: 'detached' }, 'admin'),
}

/** What a storage host may fail at. */
const failures = [
  'create',
  'createFromImage',
  'createFromSnapshot',
  'createFromVolume',
  'remove',
  'extend',
  'createSnapshot',
  'removeSnapshot',
].concat(['revertToSnapshot', 'fetchImage', 'reimage', 'uploadToImage', 'exportVolume', 'unexportVolume'])

/** ms for all that was begun to come to an end. */
const REST_MS = 10_000

const ask = fc.record({ deed: fc.constantFrom(...Object.keys(deeds)), n: fc.nat(11) })
const steps = fc.array(
  fc.record({
    asked: fc.array(ask, { minLength: 1, maxLength: 4 }),
    waited: fc.boolean(),
    fails: fc.option(fc.constantFrom(...failures), { freq: 12 }),
  }),
  { minLength: 2, maxLength: 12 },
)

eachDatabaseUrl((fresh) => {
  before(async () => {
    const databaseUrl = await fresh()
    const several = databaseUrl.startsWith('mysql:')
    house = await volumeHouse({ databaseUrl, exclusive: !several })
    houses = several ? [house, await volumeHouse({ databaseUrl, exclusive: false }, house)] : [house]
    house.storage.pause = turns
    imageId = house.images.add()
    typeNames = ['plain', 'shared']
    for (const [name, extra_specs] of [
      ['plain', {}],
      ['shared', { multiattach: '<is> True' }],
    ] as const)
      await house.request('POST', '/types', { body: { volume_type: { name, extra_specs } } })
    for (const project of [DEMO, OTHER])
      await house.request('PUT', `/os-quota-sets/${project}`, { body: { quota_set: { volumes: -1, snapshots: -1, gigabytes: -1 } } })
  })
  after(async () => {
    for (const one of houses.toReversed()) await one.close()
  })

  test('whatever is asked of volumes in whatever order, one after the other and at once: never a 5xx, and all comes to rest', {
    timeout: 900_000,
  }, async () => {
    const property = fc.asyncProperty(steps, async (wanted) => {
      const made: Made = { volumes: [randomUUID()], snapshots: [], attachments: [], transfers: [], decreed: new Set() }
      const said: string[] = []
      const rest = () => within(REST_MS, idle(), () => new Error(`not at rest: ${said.join(', ')}`))
      const first = await house.request('POST', '/volumes', { as: 'member', body: { volume: { size: 1 } } })
      made.volumes = [first.body.volume.id]
      for (const { asked, waited, fails } of wanted) {
        if (waited) await rest()
        if (fails) house.storage.failingOnce.set(fails, new Fault(507, 'NoSpace', 'the disk is full'))
        await Promise.all(
          asked.map(async ({ deed, n }, at) => {
            const what = deeds[deed]!(made, n)
            if (!what) return
            const { method, path, body, as = 'member' } = what
            const answer = await houses[at % houses.length]!.request(method, path, { as, body })
            said.push(`${deed} ${answer.status}`)
            assert.ok(answer.status < 500 || answer.status === 507, `${said.join(', ')}: ${JSON.stringify(answer.body)}`)
            keep(made, answer)
            if (/^reset to|detaching$/.test(deed)) made.decreed.add(path.split('/')[2]!)
          }),
        )
      }
      house.storage.failingOnce.clear()
      await rest()
      const stays = wanted.some(({ fails }) => fails === 'unexportVolume')
      assert.deepEqual([...(await wrong(made, stays)), ...(await cleared(made, rest))], [], said.join(', '))
    })
    await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 150), endOnFailure: true })
  })
})

function keep(made: Made, { status, body }: TestAnswer): void {
  if (status >= 300 || !body) return
  if (body.volume && !made.volumes.includes(body.volume.id)) made.volumes.push(body.volume.id)
  if (body.snapshot && !made.snapshots.includes(body.snapshot.id)) made.snapshots.push(body.snapshot.id)
  if (body.attachment && !made.attachments.includes(body.attachment.id)) made.attachments.push(body.attachment.id)
  if (body.transfer?.auth_key) made.transfers.push({ id: body.transfer.id, key: body.transfer.auth_key })
}

const AT_REST = ['awaiting-transfer', 'error', 'error_deleting', 'error_extending']
/** What a volume otherwise is by its attachments: the first that one of them is. */
const LED = [
  ['in-use', 'attached'],
  ['attaching', 'attaching'],
  ['detaching', 'detaching'],
  ['reserved', 'reserved'],
  ['available', null],
] as const

/** What a storage host has and what the database says of it. `stays`: a target could not be taken away, which the host tries again by itself. */
async function wrong(made: Made, stays: boolean): Promise<string[]> {
  const { db } = house.service.context.database
  const found: string[] = []
  const volumes = await db.selectFrom('volumes').selectAll().execute()
  const snapshots = await db.selectFrom('snapshots').selectAll().execute()
  const attachments = await db.selectFrom('attachments').selectAll().execute()
  for (const { id, size, reserved_size, status } of volumes) {
    const there = house.storage.volumes.get(id)
    if (!there && !['error', 'error_deleting'].includes(status) && !made.volumes.includes(id))
      found.push(`volume ${id} is ${status} and nowhere`)
    if (there && there.sizeGiB < size) found.push(`volume ${id} has ${size} GiB and lies in ${there.sizeGiB}`)
    if (reserved_size !== size) found.push(`volume ${id} has ${size} GiB and counts as ${reserved_size}`)
  }
  for (const [id, { sizeGiB }] of house.storage.volumes) {
    const row = volumes.find((one) => one.id === id)
    if (!row) found.push(`volume ${id} of ${sizeGiB} GiB is nobody's`)
  }
  for (const id of house.storage.snapshots.keys()) if (!snapshots.some((one) => one.id === id)) found.push(`snapshot ${id} is nobody's`)
  for (const { id, volume_id } of snapshots)
    if (!volumes.some((one) => one.id === volume_id)) found.push(`snapshot ${id} is of volume ${volume_id}, which is gone`)
  for (const { id, volume_id } of attachments)
    if (!volumes.some((one) => one.id === volume_id)) found.push(`attachment ${id} is of volume ${volume_id}, which is gone`)
  for (const id of house.storage.exports.keys()) {
    const used = attachments.some((one) => one.volume_id === id && one.secret !== null)
    if (!used && !stays) found.push(`volume ${id} is exported to nobody`)
  }
  for (const { id, status, multiattach } of volumes) {
    const all = attachments.filter((one) => one.volume_id === id)
    const follows = LED.find(([, by]) => by === null || all.some((one) => one.status === by))![0]
    if (!made.decreed.has(id) && !AT_REST.includes(status) && status !== follows)
      found.push(`volume ${id} is ${status}, and by its attachments ${follows}`)
    const own = all.filter((one) => one.status !== 'detaching')
    if (own.length > 1 && multiattach === 0) found.push(`volume ${id} is attached ${own.length} times`)
  }
  return found
}

/** Ends everything as an administrator would; what is left then. */
async function cleared(made: Made, rest: () => Promise<void>): Promise<string[]> {
  const { db } = house.service.context.database
  const found: string[] = []
  const admin = async (method: string, path: string, body?: object) => {
    const answer = await house.request(method, path, { body })
    if (answer.status >= 300 && answer.status !== 404) found.push(`${method} ${path} ${answer.status}: ${JSON.stringify(answer.body)}`)
  }
  for (const { id } of await db.selectFrom('attachments').select('id').execute()) await admin('DELETE', `/attachments/${id}`)
  for (const id of made.snapshots) await admin('POST', `/snapshots/${id}/action`, { 'os-reset_status': { status: 'error' } })
  for (const id of made.volumes) await admin('DELETE', `/volumes/${id}?cascade=true&force=true`)
  await rest()
  for (const table of ['volumes', 'snapshots', 'attachments', 'transfers'] as const)
    for (const row of await db.selectFrom(table).selectAll().execute()) found.push(`${table}: ${JSON.stringify(row)}`)
  for (const row of await db.selectFrom('properties').selectAll().where('kind', 'in', ['volume', 'image', 'snapshot']).execute())
    found.push(`properties: ${JSON.stringify(row)}`)
  for (const [what, left] of Object.entries({
    volumes: house.storage.volumes,
    snapshots: house.storage.snapshots,
    exports: house.storage.exports,
    fetched: house.storage.fetched,
  }))
    if (left.size > 0) found.push(`the storage host has ${left.size} ${what}`)
  return found
}
