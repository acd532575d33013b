import assert from 'node:assert/strict'
import { test } from 'node:test'
import { host as messages } from '../../compute/rpc.ts'
import { until } from '../../drivers/daemon.ts'
import { diskXml } from '../../drivers/libvirt/domain-xml.ts'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { GiB } from '../../kernel/units/units.ts'
import { volumeDisk } from './device-descriptions.ts'
import { build, connection, type Lab, onHost, uuidOf } from './testing.ts'

const uuid = uuidOf(1)
const qos = { total_iops_sec: '50' }
const [former, other, third] = [connection(1, { qos }), connection(2, { sizeGiB: 2, qos: { read_bytes_sec: '1024' } }), connection(3)]
const swap = { uuid, former: { ...former, portal: '', iqn: '', auth: null }, connection: other }

/** A guest that has the first volume. */
const withVolume = (body: (lab: Lab) => Promise<void>) =>
  onHost(async (lab) => {
    await build(lab.tell)
    await lab.tell(messages.attachVolume, { uuid, connection: former, live: true })
    await body(lab)
  })
const disk = async ({ libvirt }: Lab, inactive = false) =>
  find(parseXml(await libvirt.domainXml(uuid, { inactive })), 'devices', 'disk').find(
    (one) => first(one, 'target')?.attributes.dev === 'vdb',
  )!
const sources = async (lab: Lab) =>
  [await disk(lab), await disk(lab, true)].map(
    (one) => `${first(one, 'source')?.attributes.name} ${first(one, 'auth', 'secret')?.attributes.uuid}`,
  )
const secrets = async ({ libvirt }: Lab) => (await libvirt.listSecrets()).map((one) => one.uuid)
const copied = ({ tell }: Lab) =>
  until('it is copied', async () => (await tell(messages.copyVolume, { ...swap, begun: true })).ready, 2_000)
const pivoted = ({ tell }: Lab) => until('it is swapped', async () => (await tell(messages.pivotVolume, swap)).swapped, 2_000)
const at = ({ iqn, lun, attachmentId }: typeof former) => `${iqn}/${lun} ${attachmentId}`

test('a volume takes the place of another, and is known as what it is afterwards', () =>
  withVolume(async (lab) => {
    const { tell } = lab
    for (const begun of [false, false]) await tell(messages.copyVolume, { ...swap, begun })
    await copied(lab)
    assert.deepEqual(await sources(lab), [at(former), at(former)])
    await pivoted(lab)
    assert.deepEqual(await sources(lab), [at(other), at(other)])
    assert.deepEqual(await tell(messages.pivotVolume, swap), { swapped: true })
    assert.equal(
      first(await disk(lab), 'source', 'slices', 'slice')?.attributes.size,
      String(GiB),
      'of the larger one as much as it saw before',
    )
    const limits = async () => first(await disk(lab), 'iotune')?.children.map(({ name, text }) => `${name} ${text}`)
    assert.deepEqual(await limits(), ['read_bytes_sec 1024'])
    await tell(messages.detachVolume, { uuid, connection: swap.former, live: true })
    assert.deepEqual(await secrets(lab), [other.attachmentId], 'the former one takes its password along, and not the disk')
    // the disk still has its serial number
    const again = connection(1, { device: '/dev/vdc', attachmentId: third.attachmentId })
    assert.equal((await tell(messages.attachVolume, { uuid, connection: again, live: true })).device, '/dev/vdc')
    await tell(messages.detachVolume, { uuid, connection: other, live: true })
    assert.equal(await disk(lab), undefined)
  }))

test('a copy is broken off, also one that a later one finds; without it a copy that was begun is over', () =>
  withVolume(async (lab) => {
    const { tell, libvirt } = lab
    await tell(messages.copyVolume, { ...swap, begun: false })
    for (let n = 0; n < 2; n++) await tell(messages.breakOffCopy, swap)
    assert.deepEqual([await sources(lab), await secrets(lab)], [[at(former), at(former)], [former.attachmentId]])
    assert.equal(first(await disk(lab), 'mirror'), undefined)
    await assert.rejects(tell(messages.copyVolume, { ...swap, begun: true }), { status: 500, code: 'CopyBroken' })
    await libvirt.copyDisk(uuid, 'vdb', diskXml(volumeDisk(third)))
    await tell(messages.copyVolume, { ...swap, begun: false })
    assert.equal(first(await disk(lab), 'mirror', 'source')?.attributes.name, `${other.iqn}/1`)
    await assert.rejects(tell(messages.copyVolume, { ...swap, former: third, begun: false }), { status: 409, code: 'NoDisk' })
    await libvirt.destroyDomain(uuid)
    await assert.rejects(tell(messages.copyVolume, { ...swap, begun: true }), { status: 409, code: 'DomainState' })
    await tell(messages.breakOffCopy, swap)
    assert.deepEqual(await secrets(lab), [former.attachmentId])
    await tell(messages.breakOffCopy, { ...swap, uuid: uuidOf(9) })
  }))

test('a guest that goes off in the moment of the swap is woken for its copy, and off again', () =>
  withVolume(async (lab) => {
    const { tell, libvirt, netns } = lab
    await tell(messages.copyVolume, { ...swap, begun: false })
    await copied(lab)
    await libvirt.destroyDomain(uuid)
    await pivoted(lab)
    assert.equal((await tell(messages.powerState, { uuid })).powerState, 'shutdown')
    assert.deepEqual(await sources(lab), [at(other), at(other)])
    assert.ok(!(await netns.links()).some(({ name }) => name.startsWith('tap')), 'it had no cards')
    assert.deepEqual(await tell(messages.pivotVolume, swap), { swapped: true })
    await assert.rejects(tell(messages.pivotVolume, { ...swap, uuid: uuidOf(9) }), { status: 404 })
  }))
