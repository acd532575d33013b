import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until } from '../daemon.ts'
import { contractDomain, libvirtContract } from './contract.ts'
import { domainXml } from './domain-xml.ts'
import type { LibvirtEvent } from './driver.ts'
import { simulatedLibvirt } from './simulated.ts'

const root = mkdtempSync(join(tmpdir(), 'libvirt-'))
after(() => rmSync(root, { recursive: true }))
const place = { directory: join(root, 'contract'), bridge: 'qbrcontract' }

libvirtContract(async () => ({ libvirt: simulatedLibvirt(), ...place }))

test('a simulated hypervisor outlives the process where a file is given', async () => {
  const file = join(root, 'libvirt.json')
  const before = simulatedLibvirt({ file })
  const description = contractDomain(place)
  await before.defineDomain(domainXml(description))
  const { id } = await before.startDomain(description.uuid)
  const after = simulatedLibvirt({ file })
  assert.deepEqual(
    (await after.listDomains()).map((domain) => [domain.name, domain.id, domain.state]),
    [['instance-00000001', id, 'running']],
  )
  await after.destroyDomain(description.uuid)
  assert.ok((await after.startDomain(description.uuid)).id > id)
})

test('a call fails when told to, as often as told', async () => {
  const libvirt = simulatedLibvirt()
  const description = contractDomain(place)
  await libvirt.defineDomain(domainXml(description))
  libvirt.failOn('startDomain', new Error('no memory'), 2)
  for (let time = 0; time < 2; time++) await assert.rejects(libvirt.startDomain(description.uuid), /no memory/)
  assert.equal((await libvirt.startDomain(description.uuid)).state, 'running')
  assert.deepEqual(libvirt.changes(), ['domain-define instance-00000001', 'domain-start instance-00000001'])
})

test('guests act by themselves, or do not', async () => {
  const libvirt = simulatedLibvirt()
  const heard: LibvirtEvent[] = []
  libvirt.onEvent((event) => heard.push(event))
  const description = contractDomain(place)
  const { uuid } = description
  await libvirt.defineDomain(domainXml(description))
  const state = async () => (await libvirt.domainByUuid(uuid)).state
  await libvirt.startDomain(uuid)
  await libvirt.shutdownDomain(uuid)
  await until('it has shut down', async () => (await state()) === 'shutoff', 1_000)
  await libvirt.startDomain(uuid)
  libvirt.acpi = false
  await libvirt.shutdownDomain(uuid)
  libvirt.guest(uuid, 'io-error')
  assert.equal(await state(), 'paused')
  libvirt.guest(uuid, 'crashes')
  await until('the crash is heard', () => heard.some((event) => event.kind === 'lifecycle' && event.reason === 'crashed'), 1_000)
  const told = heard.filter((event) => event.kind === 'lifecycle').map((event) => `${event.event} ${event.reason}`)
  assert.deepEqual(told, [
    'defined added',
    'started booted',
    'shutdown guest',
    'stopped shutdown',
    'started booted',
    'suspended io-error',
    'stopped crashed',
  ])
})

test('while libvirtd is away every call says so', async () => {
  const libvirt = simulatedLibvirt()
  libvirt.setUp(false)
  await assert.rejects(libvirt.listDomains(), { status: 503, code: 'LibvirtUnavailable', message: /libvirtd/ })
  libvirt.setUp(true)
  assert.deepEqual(await libvirt.listDomains(), [])
})

test('taps are made and removed with the guests that have them', async () => {
  const taps = new Set<string>()
  const network = {
    addTap(name: string, bridge: string) {
      if (bridge !== 'qbrcontract') throw new Error(`Cannot get interface MTU on '${bridge}': No such device`)
      taps.add(name)
    },
    removeTap: (name: string) => void taps.delete(name),
  }
  const libvirt = simulatedLibvirt({ network })
  const description = contractDomain(place)
  await libvirt.defineDomain(domainXml(description))
  await libvirt.startDomain(description.uuid)
  assert.deepEqual([...taps], ['tapcontract-1'])
  libvirt.guest(description.uuid, 'shuts-down')
  assert.deepEqual([...taps], [])
  const other = contractDomain({ ...place, bridge: 'qbrnone' }, 2)
  await libvirt.defineDomain(domainXml(other))
  await assert.rejects(libvirt.startDomain(other.uuid), { status: 500, message: /No such device/ })
  assert.equal((await libvirt.domainByUuid(other.uuid)).state, 'shutoff')
})
