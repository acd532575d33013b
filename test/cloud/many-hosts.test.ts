import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { until } from '../../src/cli/api.ts'
import { LabUnderTest } from './lab.ts'

/** A cloud of two machines: what a user of one machine has, between machines, and what is left of it when parts of it die. */

let lab: LabUnderTest
let hello: any
let second: any

const pings = async (count: number) => {
  const { stdout } = await lab.runOutside('ping', '-i', '0.2', '-c', String(count), '-W', '1', lab.address)
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0)
}
const create = (name: string, more: object = {}) => createWith(name, {}, more)
const createWith = async (name: string, beside: object, more: object = {}) => {
  const [{ images }, { flavors }, { networks }] = await Promise.all([
    lab.api.get('/image/v2/images?name=tiny'),
    lab.api.get('/compute/v2.1/flavors'),
    lab.api.get('/network/v2.0/networks?name=private'),
  ])
  const wanted = { name, imageRef: images[0].id, flavorRef: flavors[0].id, networks: [{ uuid: networks[0].id }], ...more }
  const made = await lab.api.post('/compute/v2.1/servers', { server: wanted, ...beside })
  return made.server.id as string
}
const remove = async (id: string) => {
  await lab.api.remove(`/compute/v2.1/servers/${id}`)
  await until('it is gone', 60_000, () =>
    lab.server(id).then(
      () => false,
      (error) => error.status === 404,
    ),
  )
}
const onMachine = (name: string, program: string, ...args: string[]) =>
  lab.cloud.hosts.find((host) => host.name === name)!.machine.machine.run(program, args)
/** An operator says that a host is dead, or that it is not. */
async function serviceOf(host: string, forced_down: boolean): Promise<void> {
  const { services } = await lab.api.get(`/compute/v2.1/os-services?binary=nova-compute&host=${host}`)
  await lab.api.put(`/compute/v2.1/os-services/${services[0].id}`, { forced_down })
}
/** A volume that lies on this machine, in a server wherever that is. */
async function volumeFrom(name: string, serverId: string): Promise<string> {
  const { services } = await lab.api.get('/volume/v3/os-services?binary=cinder-volume')
  const others = services.filter((one: any) => !one.host.startsWith(`${name}@`))
  const may = (word: 'enable' | 'disable') =>
    Promise.all(others.map(({ host, binary }: any) => lab.api.put(`/volume/v3/os-services/${word}`, { host, binary })))
  await may('disable')
  const { volume } = await lab.api.post('/volume/v3/volumes', { volume: { size: 1 } })
  const is = (status: string) =>
    until(`the volume is ${status}`, 60_000, async () => {
      const now = (await lab.api.get(`/volume/v3/volumes/${volume.id}`)).volume
      return now.status === status && now
    })
  const made = await is('available')
  assert.ok(made['os-vol-host-attr:host'].startsWith(`${name}@`), made['os-vol-host-attr:host'])
  await may('enable')
  await lab.api.post(`/compute/v2.1/servers/${serverId}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.id } })
  await is('in-use')
  return volume.id
}
const hostOf = (one: any) => lab.cloud.hosts.find((host) => host.name === one['OS-EXT-SRV-ATTR:host'])!

before(async () => {
  lab = await LabUnderTest.start()
  hello = await lab.server()
})
after(() => lab?.stop())

test('guests on two machines meet in their network, and the volume came from wherever it is', async () => {
  const other = lab.cloud.hosts.find((host) => host !== hostOf(hello))!
  const id = await create('second', { availability_zone: `nova:${other.name}` })
  second = await lab.becomes('ACTIVE', id)
  assert.notEqual(second['OS-EXT-SRV-ATTR:host'], hello['OS-EXT-SRV-ATTR:host'])
  const [{ addr }] = second.addresses.private
  await until('hello reaches second', 120_000, async () => (await lab.ssh(`ping -c 1 -W 2 ${addr}`)).code === 0)
  assert.match((await lab.ssh('sudo dd if=/dev/vdb of=/dev/null bs=512 count=1 2>&1')).stdout, /1\+0 records in/)
})

test('the agent of a host is killed: its guests’ traffic goes on, and it takes work again when it is back', async () => {
  const host = hostOf(hello)
  const going = pings(25)
  await host.kill()
  await host.start()
  assert.equal(await going, 25)
  const id = await create('after-agent', { availability_zone: `nova:${host.name}` })
  await lab.becomes('ACTIVE', id)
  await remove(id)
  await lab.noLeaks()
})

for (const program of ['ovs-vswitchd', 'ovsdb-server', 'libvirtd', 'dnsmasq'])
  test(`${program} of one machine is killed: it comes back by itself, and its guest is reached`, async (t) => {
    const { machine } = hostOf(hello).machine
    const running = async () => (await machine.run('pgrep', ['-o', '-x', program], { ok: [0, 1] })).stdout.trim()
    const first = await running()
    assert.notEqual(first, '')
    await machine.run('kill', ['-KILL', first])
    const started = performance.now()
    await until(`${program} runs again`, 30_000, async () => ![first, ''].includes(await running()))
    await until('the guest is reached', 30_000, async () => (await pings(1)) === 1)
    t.diagnostic(`again after ${((performance.now() - started) / 1000).toFixed(1)} s`)
    assert.equal((await lab.server(hello.id)).status, 'ACTIVE')
  })

test('of two that are made at once and may not meet, each has a machine of its own; a third has none', async () => {
  const { server_group: group } = await lab.api.post('/compute/v2.1/os-server-groups', {
    server_group: { name: 'apart', policy: 'anti-affinity' },
  })
  const hints = { 'os:scheduler_hints': { group: group.id } }
  const ids = await Promise.all(['apart-1', 'apart-2', 'apart-3'].map((name) => createWith(name, hints)))
  const ended = await Promise.all(
    ids.map((id) =>
      until('it has ended', 180_000, async () => {
        const now = await lab.server(id)
        return ['ACTIVE', 'ERROR'].includes(now.status) && now
      }),
    ),
  )
  const placed = ended.filter((one) => one.status === 'ACTIVE')
  assert.deepEqual(placed.map((one) => one['OS-EXT-SRV-ATTR:host']).toSorted(), lab.cloud.hosts.map((host) => host.name).toSorted())
  assert.match(ended.find((one) => one.status === 'ERROR').fault.message, /No valid host/)
  for (const id of ids) await remove(id)
  await lab.noLeaks()
})

test('control is killed while servers are made: they are made when it is back, and hosts find it by themselves', async () => {
  const ids = await Promise.all(['one', 'two'].map((name) => create(name)))
  await lab.cloud.controls[0]!.kill()
  assert.equal(await pings(5), 5)
  await lab.cloud.controls[0]!.start()
  for (const id of ids) await lab.becomes('ACTIVE', id)
  for (const id of ids) await remove(id)
  await lab.noLeaks()
})

test('the machine with the router dies: the floating IP answers again within ten seconds, its guest is evacuated, and what is left there goes', async (t) => {
  const { agents } = await lab.api.get('/network/v2.0/agents?agent_type=L3%20agent')
  const { routers } = await lab.api.get('/network/v2.0/routers?name=router')
  const holder = async () => {
    for (const agent of agents) {
      const held = (await lab.api.get(`/network/v2.0/agents/${agent.id}/l3-routers`)).routers
      if (held.some((one: any) => one.id === routers[0].id)) return agent.host as string
    }
    throw new Error('no host has the router')
  }
  const dying = lab.cloud.hosts.find((host) => host !== hostOf(hello))!
  const agentOf = (name: string) => agents.find((agent: any) => agent.host === name).id
  if ((await holder()) !== dying.name) {
    await lab.api.remove(`/network/v2.0/agents/${agentOf(hostOf(hello).name)}/l3-routers/${routers[0].id}`)
    await lab.api.post(`/network/v2.0/agents/${agentOf(dying.name)}/l3-routers`, { router_id: routers[0].id })
    await until('it answers through the other machine', 30_000, async () => (await pings(1)) === 1)
  }
  const orphan = await create('orphan', { availability_zone: `nova:${hostOf(hello).name}` })
  await lab.becomes('ACTIVE', orphan)
  const volume = await volumeFrom(dying.name, orphan)
  await dying.machine.powerOff()
  await dying.kill()
  const started = performance.now()
  await until('the floating IP answers again', 30_000, async () => (await pings(1)) === 1)
  const gap = performance.now() - started
  t.diagnostic(`silent for ${(gap / 1000).toFixed(1)} s`)
  assert.ok(gap < 10_000)

  // a server whose volume lies on it is deleted without it
  await remove(orphan)
  const left = (await lab.api.get(`/volume/v3/volumes/${volume}`)).volume
  assert.deepEqual([left.status, left.attachments], ['available', []])

  // its own guest is built again on the machine that is left, from where the router is now
  await serviceOf(dying.name, true)
  await lab.api.post(`/compute/v2.1/servers/${second.id}/action`, { evacuate: {} })
  const evacuated = await lab.becomes('ACTIVE', second.id)
  assert.equal(evacuated['OS-EXT-SRV-ATTR:host'], hostOf(hello).name)
  assert.deepEqual(evacuated.addresses, second.addresses)
  await until(
    'hello reaches it again',
    120_000,
    async () => (await lab.ssh(`ping -c 1 -W 2 ${second.addresses.private[0].addr}`)).code === 0,
  )

  await dying.machine.powerOn()
  assert.match((await onMachine(dying.name, 'virsh', 'list', '--all')).stdout, /instance-/)
  await dying.start()
  assert.doesNotMatch((await onMachine(dying.name, 'virsh', 'list', '--all')).stdout, /instance-/)
  await serviceOf(dying.name, false)
  await lab.noLeaks()
  await lab.api.remove(`/volume/v3/volumes/${volume}`)
  const id = await create('back', { availability_zone: `nova:${dying.name}` })
  await lab.becomes('ACTIVE', id)
  await remove(id)
})
