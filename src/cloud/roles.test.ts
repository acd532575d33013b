import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { HostRole } from '../cluster/client.ts'
import { eventually, Yard } from '../compute/sagas/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { prepareGround, startHosts } from './hosts.ts'
import { loadSecrets } from './secrets.ts'
import { readSettings } from './settings.ts'
import { testCloud } from './testing.ts'

test('hosts do what their roles are and no more: guests on one, networks and volumes on another', async () => {
  const cloud = await testCloud()
  const dir = mkdtempSync(join(tmpdir(), 'yun-roles-'))
  const log = silent()
  const host = async (hostname: string, roles: HostRole[]) => {
    const stateDir = join(dir, hostname)
    mkdirSync(stateDir)
    const { settings } = readSettings(['--state', stateDir, '--hypervisor', 'simulated', '--simulated-hosts', '0'], hostname)
    const { bus, control } = cloud
    return await startHosts({
      settings,
      ground: await prepareGround(settings, log),
      secrets: loadSecrets(stateDir),
      bus,
      log,
      control,
      roles,
    })
  }
  const hosts = [await host('worker', ['compute']), await host('server', ['network', 'storage'])]
  try {
    const { api } = cloud
    const { services } = await api('GET', '/compute/v2.1/os-services?binary=nova-compute')
    assert.deepEqual(services.map((one: any) => one.host).toSorted(), ['node1', 'worker'])
    const storages = async () => (await api('GET', '/volume/v3/os-services?binary=cinder-volume')).services.map((one: any) => one.host)
    const known = await eventually(storages, (names) => names.length === 2)
    assert.deepEqual(known.map((name: string) => name.split('@')[0]).toSorted(), ['node1', 'server'])
    const agentsOf = async (name: string) => {
      const { agents } = await api('GET', `/network/v2.0/agents?host=${name}`)
      return agents.map((one: any) => one.agent_type).toSorted()
    }
    assert.deepEqual(await agentsOf('worker'), ['Open vSwitch agent'])
    for (const type of ['DHCP agent', 'L3 agent']) assert.ok((await agentsOf('server')).includes(type), type)

    const yard = await Yard.over(cloud)
    const wish = { name: 'one', imageRef: yard.imageId, flavorRef: yard.flavorId, networks: [{ uuid: yard.networkId }] }
    const { server } = await api('POST', '/compute/v2.1/servers', { server: { ...wish, availability_zone: 'nova:worker' } })
    await yard.settled()
    const show = async () => (await api('GET', `/compute/v2.1/servers/${server.id}`)).server
    const made = await eventually(show, (now) => now.status === 'ACTIVE')
    assert.deepEqual([made.status, made['OS-EXT-SRV-ATTR:host']], ['ACTIVE', 'worker'])
    await yard.remove(server.id)
    assert.deepEqual(await yard.leaks(), [])
  } finally {
    for (const one of hosts) await one.stop()
    await cloud.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
