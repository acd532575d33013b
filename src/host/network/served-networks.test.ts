import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { control, type DhcpNetwork, events, NETWORK_CONTROL } from '../../network/rpc.ts'
import { ServedNetworks } from './served-networks.ts'
import { device, dhcpNetwork, NETWORK } from './testing.ts'

/** Control with one network, which counts what it is asked. */
function scene(guests = [device(1), device(2)]) {
  const bus = new MemoryBus()
  const asked: string[] = []
  const stage = { network: dhcpNetwork(guests), whileAsked: async () => {} }
  const ports = (network: DhcpNetwork, ids: string[]) => network.ports.filter(({ id }) => ids.includes(id))
  bus.serve(NETWORK_CONTROL, control.dhcpNetworks, async () => {
    asked.push('all')
    const answer = [stage.network]
    await stage.whileAsked()
    return answer
  })
  bus.serve(NETWORK_CONTROL, control.dhcpPorts, ({ portIds }) => {
    asked.push(`${portIds.length} ports`)
    return ports(stage.network, portIds)
  })
  const networks = new ServedNetworks(bus, 'one')
  let woken = 0
  networks.follow(() => woken++)
  const changed = async (portId: string, networkId = NETWORK) => {
    bus.publish(events.portChanged, { portId, networkId }, [portId, networkId])
    await new Promise((heard) => setImmediate(() => setImmediate(heard)))
  }
  const served = async () => (await networks.all())[0]!.ports.map(({ id }) => id)
  return { bus, asked, stage, networks, changed, served, woken: () => woken }
}

/** What is asked when a network is new here: once more when it is listened to. */
const NEW = ['all', 'all']
const [one, two, three] = [device(1), device(2), device(3)]

test('a port that comes, changes or goes is asked for alone', async () => {
  const { stage, asked, changed, served } = scene()
  assert.deepEqual(await served(), [one.portId, two.portId])
  stage.network = dhcpNetwork([one, two, three])
  await changed(three.portId)
  assert.deepEqual(await served(), [one.portId, two.portId, three.portId])
  stage.network = dhcpNetwork([two, three])
  await changed(one.portId)
  assert.deepEqual(await served(), [two.portId, three.portId])
  assert.deepEqual(await served(), [two.portId, three.portId])
  assert.deepEqual(asked, [...NEW, '1 ports', '1 ports'])
})

test('with a port of a router or an address service everything is asked for', async () => {
  const { stage, asked, changed, served, networks } = scene()
  await served()
  const router = { ...three, deviceOwner: 'network:router_interface' }
  stage.network = dhcpNetwork([one, two, router], { isolated: false })
  await changed(router.portId)
  await served()
  stage.network = dhcpNetwork([one, two], { isolated: true })
  await changed(router.portId)
  assert.equal((await networks.all())[0]!.isolated, true)
  assert.deepEqual(asked, [...NEW, '1 ports', 'all', '1 ports', 'all'])
})

test('what is heard while everything is asked for counts for the next time', async () => {
  const { stage, asked, changed, networks, served } = scene()
  await served()
  networks.doubt()
  stage.whileAsked = async () => {
    stage.whileAsked = async () => {}
    stage.network = dhcpNetwork([one, two, three])
    await changed(three.portId)
  }
  assert.deepEqual(await served(), [one.portId, two.portId])
  assert.deepEqual(await served(), [one.portId, two.portId, three.portId])
  assert.deepEqual(asked, [...NEW, 'all', 'all'])
})

test('a port that comes to a network before it is listened to is seen at once', async () => {
  const { stage, changed, served } = scene()
  stage.whileAsked = async () => {
    stage.whileAsked = async () => {}
    stage.network = dhcpNetwork([one, two, three])
    await changed(three.portId)
  }
  assert.deepEqual(await served(), [one.portId, two.portId, three.portId])
})

test('a port that control does not tell of leaves everything in doubt', async () => {
  const { bus, asked, changed, served } = scene()
  await served()
  const stop = bus.serve(NETWORK_CONTROL, control.dhcpPorts, () => {
    throw new Error('away')
  })
  await changed(one.portId)
  await assert.rejects(served(), /away/)
  stop()
  assert.deepEqual(await served(), [one.portId, two.portId])
  assert.deepEqual(asked, [...NEW, 'all'])
})

test('changes on networks of others wake nobody', async () => {
  const { changed, served, woken } = scene()
  await served()
  await changed(three.portId, crypto.randomUUID())
  assert.equal(woken(), 0)
})
