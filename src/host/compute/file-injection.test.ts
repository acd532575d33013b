import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { host as messages } from '../../compute/rpc.ts'
import { simulatedGuestFiles } from '../../drivers/guest-files/simulated.ts'
import { find, parseXml } from '../../drivers/libvirt/xml.ts'
import { build, instance, onHost, unwind } from './testing.ts'

const files = [{ path: 'etc/motd', contents: Buffer.from('hello').toString('base64') }]
const keyPair = { name: 'mine', publicKey: 'ssh-ed25519 AAAA mine', type: 'ssh' }
const spec = instance(1, { files, keyPair, metadata: { role: 'web' } })

test('where the operator wants it, files, metadata and key are put into the disk itself, once; no drive is needed', () =>
  onHost(
    async ({ tell, directory }) => {
      const { injected, xml } = await build(tell, { spec, times: 2 })
      assert.deepEqual(injected, {
        files: ['/etc/motd', '/meta.js', '/root/.ssh/authorized_keys'],
        by: 'debugfs, in partition 1 of the disk',
      })
      const read = (path: string) =>
        simulatedGuestFiles().within(join(directory, spec.uuid, 'disk'), -1, async (opened) => String(await opened.read(path)))
      assert.equal(await read('/etc/motd'), 'hello')
      assert.equal(await read('/meta.js'), '{"role":"web"}')
      assert.equal((await read('/root/.ssh/authorized_keys')).split(keyPair.publicKey).length, 2)
      assert.ok(!find(parseXml(xml), 'devices', 'disk').some(({ attributes }) => attributes.device === 'cdrom'))
      await unwind(tell)
      assert.deepEqual(await tell(messages.audit, {}), [])
    },
    { injection: { partition: -1, key: true, password: false } },
  ))

test('a partition that is not there, an image without root’s password, a path that is none: the build fails and says why', async () => {
  const failing = (partition: number, password: boolean, path: string, code: string) =>
    onHost(
      async ({ tell }) => {
        const wrong = instance(1, { files: [{ path, contents: '' }] })
        await assert.rejects(build(tell, { spec: wrong }), { status: 400, code })
        await unwind(tell)
        assert.deepEqual(await tell(messages.audit, {}), [])
      },
      { injection: { partition, key: false, password } },
    )
  await failing(7, false, '/etc/motd', 'NoFileSystem')
  await failing(1, true, '/etc/motd', 'NoShadow')
  await failing(1, false, '/etc/"motd', 'BadPath')
})

test('by default files come on the config drive', () =>
  onHost(async ({ tell }) => {
    const { injected } = await build(tell, { spec })
    assert.deepEqual(injected, { files: ['etc/motd'], by: "the config drive's openstack/content" })
  }))
