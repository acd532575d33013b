import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { host as messages } from '../../compute/rpc.ts'
import { find, parseXml } from '../../drivers/libvirt/xml.ts'
import { build, instance, type Lab, onHost, PICTURE, uuidOf } from './testing.ts'

const uuid = uuidOf(1)
const asked = { uuid, imageId: PICTURE, running: true }

async function sources({ libvirt }: Lab): Promise<(string | undefined)[]> {
  const both = await Promise.all([false, true].map((inactive) => libvirt.domainXml(uuid, { inactive })))
  return both.map((xml) => find(parseXml(xml), 'devices', 'disk', 'source')[0]?.attributes.file)
}
const onlyDisk = async (lab: Lab) => {
  const disk = join(lab.directory, uuid, 'disk')
  assert.deepEqual(await sources(lab), [disk, disk])
  assert.deepEqual(
    readdirSync(join(lab.directory, uuid))
      .filter((name) => name !== 'console.log')
      .sort(),
    ['disk'],
  )
}

test('a running server is pictured without a pause; asked twice, once', () =>
  onHost(async (lab) => {
    await build(lab.tell)
    const [one, two] = await Promise.all([lab.tell(messages.snapshot, asked), lab.tell(messages.snapshot, asked)])
    assert.deepEqual(one, two)
    assert.deepEqual(await lab.tell(messages.snapshot, asked), one)
    assert.equal(lab.images.uploaded.get(PICTURE)?.length, one.bytes)
    assert.equal(lab.libvirt.changes().filter((what) => what.startsWith('snapshot-create')).length, 1)
    assert.ok(!lab.libvirt.changes().some((what) => what.startsWith('domain-suspend')))
    await onlyDisk(lab)
    for (let n = 0; n < 2; n++) await lab.tell(messages.discardSnapshot, asked)
  }))

test('a stopped server is pictured as it lies', () =>
  onHost(async (lab) => {
    await build(lab.tell)
    await lab.tell(messages.destroy, { uuid })
    await lab.tell(messages.snapshot, { ...asked, running: false })
    assert.ok(!lab.libvirt.changes().some((what) => what.startsWith('snapshot-create')))
    await onlyDisk(lab)
  }))

test('a picture that nobody takes leaves nothing, and the guest its disk', () =>
  onHost(async (lab) => {
    await build(lab.tell)
    lab.images.upload = async () => {
      throw new Error('the image service went away')
    }
    await assert.rejects(lab.tell(messages.snapshot, asked), /went away/)
    await onlyDisk(lab)
    lab.libvirt.failOn('snapshotDisks')
    await assert.rejects(lab.tell(messages.snapshot, asked), { status: 500 })
    await onlyDisk(lab)
  }))

for (const stopped of [false, true])
  test(`what a killed process left is put together again by the next one${stopped ? ', also when the guest has ended since' : ''}`, () =>
    onHost(async (lab) => {
      await build(lab.tell)
      const disk = join(lab.directory, uuid, 'disk')
      const delta = join(lab.directory, uuid, `disk.delta-${PICTURE}`)
      await lab.host.stop()
      await lab.libvirt.snapshotDisks(
        uuid,
        `<domainsnapshot><disks><disk name='vda' snapshot='external'><driver type='qcow2'/><source file='${delta}'/></disk></disks></domainsnapshot>`,
      )
      if (stopped) {
        const { simulatedQemuImg } = await import('../../drivers/qemu-img/simulated.ts')
        await simulatedQemuImg().createOverlay(delta, { path: disk, format: 'qcow2' })
        await lab.libvirt.destroyDomain(uuid)
      }
      assert.ok(existsSync(delta))
      await lab.restart()
      await onlyDisk(lab)
    }))

test('a server without a disk of its own has no picture', () =>
  onHost(async (lab) => {
    await build(lab.tell, { spec: instance(1) })
    rmSync(join(lab.directory, uuid, 'disk'))
    await assert.rejects(lab.tell(messages.snapshot, asked), { status: 400, code: 'NoDisk' })
  }))
