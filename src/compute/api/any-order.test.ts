import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { within } from '../../kernel/http/pace.ts'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open({ hosts: 2 })
})
after(() => house.stop())

/** What can be done with a server, each in words that its route takes. */
type Deed = (id: string) => Promise<{ method: string; path: string; body?: object } | null>

const act =
  (body: object): Deed =>
  async () => ({ method: 'POST', path: '/action', body })

async function volumeOf(id: string): Promise<string | undefined> {
  return (await house.ask('GET', `/servers/${id}/os-volume_attachments`, { as: 'admin' })).body.volumeAttachments?.at(-1)?.volumeId
}

const deeds: Record<string, Deed> = {
  start: act({ 'os-start': null }),
  stop: act({ 'os-stop': null }),
  'soft reboot': act({ reboot: { type: 'SOFT' } }),
  'hard reboot': act({ reboot: { type: 'HARD' } }),
  pause: act({ pause: null }),
  unpause: act({ unpause: null }),
  suspend: act({ suspend: null }),
  resume: act({ resume: null }),
  rescue: act({ rescue: null }),
  unrescue: act({ unrescue: null }),
  shelve: act({ shelve: null }),
  offload: act({ shelveOffload: null }),
  unshelve: act({ unshelve: null }),
  enlarge: async () => ({ method: 'POST', path: '/action', body: { resize: { flavorRef: house.yard.largeFlavorId } } }),
  shrink: async () => ({ method: 'POST', path: '/action', body: { resize: { flavorRef: house.yard.flavorId } } }),
  confirm: act({ confirmResize: null }),
  revert: act({ revertResize: null }),
  rebuild: async () => ({ method: 'POST', path: '/action', body: { rebuild: { imageRef: house.yard.imageId } } }),
  picture: act({ createImage: { name: 'picture' } }),
  migrate: act({ migrate: null }),
  'live migrate': act({ 'os-migrateLive': { host: null, block_migration: 'auto' } }),
  evacuate: act({ evacuate: {} }),
  'reset to active': act({ 'os-resetState': { state: 'active' } }),
  'reset to error': act({ 'os-resetState': { state: 'error' } }),
  delete: async () => ({ method: 'DELETE', path: '' }),
  'one more port': async () => ({ method: 'POST', path: '/os-interface', body: {} }),
  'one port less': async (id) => {
    const port = (await house.ask('GET', `/servers/${id}/os-interface`, { as: 'admin' })).body.interfaceAttachments?.at(-1)?.port_id
    return port ? { method: 'DELETE', path: `/os-interface/${port}` } : null
  },
  'one more volume': async () => ({
    method: 'POST',
    path: '/os-volume_attachments',
    body: { volumeAttachment: { volumeId: await house.yard.volume() } },
  }),
  'one volume less': async (id) => {
    const volume = await volumeOf(id)
    return volume ? { method: 'DELETE', path: `/os-volume_attachments/${volume}` } : null
  },
  'another volume': async (id) => {
    const volume = await volumeOf(id)
    const body = async () => ({ volumeAttachment: { volumeId: await house.yard.volume() } })
    return volume ? { method: 'PUT', path: `/os-volume_attachments/${volume}`, body: await body() } : null
  },
}

/** ms for all that was begun to come to an end. */
const REST_MS = 30_000

test('whatever is asked of a server in whatever order: never a 5xx, and all comes to rest', { timeout: 600_000 }, async () => {
  const steps = fc.array(fc.record({ deed: fc.constantFrom(...Object.keys(deeds)), waited: fc.boolean() }), { minLength: 2, maxLength: 8 })
  const property = fc.asyncProperty(fc.boolean(), steps, async (onVolume, wanted) => {
    const id = await house.yard.request(onVolume ? house.yard.onVolume() : {})
    const said: string[] = []
    for (const { deed, waited } of wanted) {
      if (waited) await within(REST_MS, house.yard.settled(), () => new Error(`not at rest: ${said.join(', ')}`))
      const asked = await deeds[deed]!(id)
      if (!asked) continue
      const { method, path, body } = asked
      const answer = await house.ask(method, `/servers/${id}${path}`, { as: 'admin', at: '2.79', body })
      said.push(`${deed} ${answer.status}`)
      assert.ok(answer.status < 500, `${said.join(', ')}: ${answer.message}`)
    }
    await within(REST_MS, house.yard.settled(), () => new Error(`not at rest: ${said.join(', ')}`))
    await house.remove(id)
    assert.equal((await house.ask('GET', `/servers/${id}`, { as: 'admin' })).status, 404, said.join(', '))
    assert.deepEqual(await house.yard.leaks(), [], said.join(', '))
  })
  await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 40), endOnFailure: true })
})
