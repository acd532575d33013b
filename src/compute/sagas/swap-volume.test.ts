import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before } from 'node:test'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { type SagaWorld, sagaTests } from '../../kernel/saga/testing.ts'
import { blockDevicesOf, findInstance } from '../db/instances.ts'
import { computeTopic, host } from '../rpc.ts'
import { type SwapInput, swapVolume } from './swap-volume.ts'
import { worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open()
})
after(() => yard.cloud.stop())

async function swapIn(at: Yard, id: string): Promise<SwapInput> {
  const [volumeId, newVolumeId] = [await at.volume(), await at.volume()]
  const { api } = at.cloud
  const volumeAttachment = { volumeId, delete_on_termination: true, tag: 'data' }
  await api('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment }, { 'openstack-api-version': 'compute 2.79' })
  await at.settled()
  const [device] = await blockDevicesOf(at.context.database.db, [id])
  return { attachmentId: device!.id, volumeId, newAttachmentId: randomUUID(), newVolumeId, newSizeGiB: 1 }
}

/** Where everything is that a swap moves: the row, the guest's disk, the passwords, the volumes. */
async function placeOf(id: string, { volumeId, newVolumeId }: SwapInput) {
  const { database, bus } = yard.context
  const [device, ...more] = await blockDevicesOf(database.db, [id])
  const topic = computeTopic((await findInstance(database.db, id))!.host!)
  const disk = find(parseXml((await bus.call(topic, host.domainXml, { uuid: id })).xml), 'devices', 'disk').find(
    (one) => first(one, 'target')?.attributes.dev === 'vdb',
  )
  const secrets = (await bus.call(topic, host.audit, {})).filter(({ kind, owner }) => kind === 'secret' && owner === id)
  const status = async (volume: string) => (await yard.cloud.api('GET', `/volume/v3/volumes/${volume}`)).volume.status
  return {
    row: [device!.volume_id, device!.id, device!.device, device!.tag, device!.delete_on_termination, more.length],
    source: first(disk!, 'source')?.attributes.name?.split('volume-')[1],
    attachment: first(disk!, 'auth', 'secret')?.attributes.uuid,
    copied: first(disk!, 'mirror') !== undefined,
    secrets: secrets.map(({ name }) => name.split('-volume-')[1]),
    volumes: [await status(volumeId), await status(newVolumeId)],
  }
}
const wholly = (volume: string, attachment: string, volumes: string[]) => ({
  row: [volume, attachment, '/dev/vdb', 'data', 1, 0],
  source: `${volume}/1`,
  attachment,
  copied: false,
  secrets: [volume],
  volumes,
})
const asBefore = ({ volumeId, attachmentId }: SwapInput) => wholly(volumeId, attachmentId, ['in-use', 'available'])
const asAfter = ({ newVolumeId, newAttachmentId }: SwapInput) => wholly(newVolumeId, newAttachmentId, ['available', 'in-use'])

const differs = async (id: string, input: SwapInput, wanted: (input: SwapInput) => object): Promise<string[]> => {
  try {
    assert.deepEqual(await placeOf(id, input), wanted(input))
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}

async function world(): Promise<SagaWorld> {
  let [server, swap] = ['', {} as SwapInput]
  const input = async (at: Yard, id: string) => {
    ;[server, swap] = [id, await swapIn(at, id)]
    return { ...swap }
  }
  const made = await worldOf(() => yard, { kind: 'swap-volume', status: 'ACTIVE', input })()
  return {
    ...made,
    leftovers: async () => [...(await made.leftovers()), ...(await differs(server, swap, asBefore))],
    arrived: async () => [...(await made.arrived!()), ...(await differs(server, swap, asAfter))],
  }
}

sagaTests({ saga: swapVolume, service: 'compute', world })
