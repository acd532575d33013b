import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CloudUnderTest } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** Step 30 on real components, as an operator may want it: files, key, password and metadata are in the disk before the guest begins. */

let cloud: CloudUnderTest
let guest: Guest
const folder = mkdtempSync(join(tmpdir(), 'yun-injection-'))

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  const config = join(folder, 'yun.yaml')
  writeFileSync(config, 'injection: {partition: -1, key: true, password: true}\n')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt', '--config', config], { demo: true })
  guest = new Guest(cloud, /cirros@([\d.]+)/.exec(cloud.said)![1]!)
})
after(async () => {
  await cloud?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('the guest has the key and a password of root, and step 30 says what came in', async () => {
  const { stdout } = await cloud.yun('trace', 'hello', '--json')
  const { evidence } = JSON.parse(stdout).steps.find((one: any) => one.step === 30)
  assert.match(evidence.text, /authorized_keys, \/etc\/shadow by debugfs, in partition 1 of the disk/)
  assert.match(await guest.sh('sudo cat /root/.ssh/authorized_keys'), /^ssh-ed25519 .*demo@yun$/m)
  assert.match(await guest.sh('sudo grep ^root: /etc/shadow'), /^root:\$6\$/)
  assert.match(await guest.sh('sudo ls -l /root/.ssh/authorized_keys; sudo ls -ld /root/.ssh'), /^-rw-------.*\ndrwx------/)
})

test('a file that the user sends is in the disk; the guest boots, grows its file system and has it', async () => {
  const api = `http://127.0.0.1:${cloud.port}/compute/v2.1/servers`
  const headers = { 'content-type': 'application/json', 'x-auth-token': (await cloud.json('openstack', 'token', 'issue')).id }
  const [image, flavor, network] = await Promise.all(
    [
      ['image', 'tiny'],
      ['flavor', 'tiny'],
      ['network', 'private'],
    ].map(async ([noun, name]) => (await cloud.json('openstack', noun!, 'show', name!)).id),
  )
  const personality = [{ path: '/etc/motd', contents: Buffer.from('put here\n').toString('base64') }]
  const server = {
    name: 'second',
    imageRef: image,
    flavorRef: flavor,
    networks: [{ uuid: network }],
    key_name: 'demo',
    personality,
    metadata: { role: 'web' },
  }
  const answer = await fetch(api, { method: 'POST', headers, body: JSON.stringify({ server }) })
  assert.equal(answer.status, 202, await answer.clone().text())
  await becomes(cloud, 'second', 'ACTIVE')
  await cloud.client('openstack', 'server', 'remove', 'floating', 'ip', 'hello', guest.address)
  await cloud.client('openstack', 'server', 'add', 'floating', 'ip', 'second', guest.address)
  assert.equal(await guest.answers(), 'second')
  assert.equal(await guest.sh('cat /etc/motd /meta.js'), 'put here\n{"role":"web"}')
  assert.ok(Number((await guest.sh('df -m / | tail -n 1')).split(/ +/)[1]) > 500, 'the file system has grown')
  for (const name of ['hello', 'second']) await cloud.client('openstack', 'server', 'delete', '--wait', name)
})
