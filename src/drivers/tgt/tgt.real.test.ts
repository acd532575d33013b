import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { collecting } from '../../kernel/trace/trace.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { targetContract } from './contract.ts'
import { tgt } from './real.ts'
import { type PrivateTgtd, privateTgtd } from './testing.ts'

const directory = mkdtempSync(join(tmpdir(), 'yun-tgt-'))
const path = join(directory, 'disk')
let daemon: PrivateTgtd

before(async () => {
  writeFileSync(path, '')
  truncateSync(path, 64 * 1024 * 1024)
  daemon = await privateTgtd()
})
after(async () => {
  await daemon.stop()
  rmSync(directory, { recursive: true })
})

targetContract(async () => ({
  driver: tgt(daemon),
  path,
  login: (iqn, username, secret) => exec('qemu-img', ['info', `iscsi://${username}%${secret}@${daemon.portal}/${iqn}/1`]).then(() => {}),
}))

test('the secret is in no evidence, and a target that was half made is made whole', async () => {
  const driver = tgt(daemon)
  const iqn = 'iqn.2010-10.org.openstack:volume-half'
  const tgtadm = (...args: string[]) => exec('tgtadm', ['-C', String(daemon.controlPort), '--lld', 'iscsi', ...args])
  await tgtadm('--op', 'new', '--mode', 'target', '--tid', '1', '--targetname', iqn)
  await tgtadm('--op', 'new', '--mode', 'account', '--user', 'volume-half', '--password', 'of-an-earlier-try')
  const { commands } = await collecting(() => driver.ensure({ iqn, path, secret: 'abcdefghijklmnop', readOnly: false }))
  assert.ok(commands.length > 4)
  assert.ok(!JSON.stringify(commands).includes('abcdefghijklmnop'))
  await exec('qemu-img', ['info', `iscsi://volume-half%abcdefghijklmnop@${daemon.portal}/${iqn}/1`])
  await driver.remove(iqn)
  assert.deepEqual(await driver.list(), [])
  assert.doesNotMatch((await tgtadm('--op', 'show', '--mode', 'account')).stdout, /volume-half/)
  await assert.rejects(driver.ensure({ iqn, path: join(directory, 'nothing'), secret: 'abcdefghijklmnop', readOnly: false }), {
    code: 'TargetRefused',
  })
  assert.deepEqual(await driver.list(), [])
})

test('a target whose disk has grown is made anew, once, and shows it', async () => {
  const driver = tgt(daemon)
  const iqn = 'iqn.2010-10.org.openstack:volume-grown'
  const grown = join(directory, 'grown')
  const wanted = { iqn, path: grown, secret: 'abcdefghijklmnop', readOnly: false }
  const made = async () => (await collecting(() => driver.ensure(wanted))).commands.length > 1
  const shown = async () => {
    const url = `iscsi://volume-grown%abcdefghijklmnop@${daemon.portal}/${iqn}/1`
    return JSON.parse((await exec('qemu-img', ['info', '--output', 'json', url])).stdout)['virtual-size']
  }
  writeFileSync(grown, '')
  for (const size of [64 * MiB, 65 * MiB, GiB, 3 * GiB, 4000 * GiB]) {
    truncateSync(grown, size)
    assert.equal(await made(), true)
    assert.equal(await made(), false, `${size}`)
    assert.equal(await shown(), size)
  }
  await driver.remove(iqn)
})

test('so is one whose block device has grown', async (t) => {
  const below = join(directory, 'below')
  writeFileSync(below, '')
  truncateSync(below, 64 * MiB)
  const device = await exec('losetup', ['--find', '--show', below]).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  )
  if (device === null) return t.skip('no loop devices here')
  const driver = tgt(daemon)
  const link = join(directory, 'link') // as LVM names its volumes
  symlinkSync(device, link)
  const wanted = { iqn: 'iqn.2010-10.org.openstack:volume-device', path: link, secret: 'abcdefghijklmnop', readOnly: false }
  const made = async () => (await collecting(() => driver.ensure(wanted))).commands.length > 1
  try {
    assert.deepEqual([await made(), await made()], [true, false])
    truncateSync(below, 128 * MiB)
    await exec('losetup', ['--set-capacity', device])
    assert.deepEqual([await made(), await made()], [true, false])
  } finally {
    await driver.remove(wanted.iqn)
    await exec('losetup', ['--detach', device])
  }
})

test('a daemon that is not there is named, with its control port', async () => {
  await assert.rejects(tgt({ controlPort: 32_123, portal: '127.0.0.1:1' }).list(), { status: 503, code: 'TargetDaemon' })
})
