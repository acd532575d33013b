import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CloudUnderTest } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** Debian with cloud-init, which takes what it is from the cloud by itself: over the network in one server, from a config drive in the other. */

let cloud: CloudUnderTest
const folder = mkdtempSync(join(tmpdir(), 'yun-debian-'))
const script = join(folder, 'user-data')
/** An emulated processor needs minutes for systemd and cloud-init. */
const BOOT_MS = 600_000

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true })
  await cloud.client('openstack', 'server', 'delete', '--wait', 'hello')
  writeFileSync(script, '#!/bin/sh\necho "as $(id -un)" > /var/tmp/user-data-ran\n')
  const { code, stdout, stderr } = await cloud.yun('image', 'build', 'debian')
  assert.equal(code, 0, stdout + stderr)
  await cloud.client('openstack', 'flavor', 'create', '--ram', '512', '--disk', '3', '--vcpus', '1', 'debian')
})
after(async () => {
  await cloud?.stop()
  rmSync(folder, { recursive: true, force: true })
})

for (const [name, source, options] of [
  ['from-network', /DataSourceOpenStackLocal/, []],
  ['from-drive', /DataSourceConfigDrive.*\/dev\/sr/, ['--use-config-drive']],
] as const)
  test(`${name}: host name, key, script and the size of the disk come in`, async () => {
    const own = ['--image', 'debian', '--flavor', 'debian', '--network', 'private', '--key-name', 'demo', '--user-data', script]
    await cloud.client('openstack', 'server', 'create', ...own, ...options, name)
    await becomes(cloud, name, 'ACTIVE')
    const [{ 'Floating IP Address': address }] = await cloud.json('openstack', 'floating', 'ip', 'list')
    await cloud.client('openstack', 'server', 'add', 'floating', 'ip', name, address)
    const guest = new Guest(cloud, address, { user: 'debian' })
    assert.equal(await guest.answers(BOOT_MS), name)
    assert.match(await guest.sh('cloud-init status --wait > /dev/null; cat /run/cloud-init/result.json'), source)
    assert.equal(await guest.sh('cat /var/tmp/user-data-ran'), 'as root')
    assert.ok(Number(await guest.sh('df --output=size --block-size=1M / | tail -n 1')) > 2500, 'the root file system has grown')
    assert.equal(await guest.sh('sudo grep -c demo@yun /home/debian/.ssh/authorized_keys'), '1')
    await cloud.client('openstack', 'server', 'delete', '--wait', name)
  })
