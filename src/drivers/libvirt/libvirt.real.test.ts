import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ensureDaemons, stopDaemons } from '../../host/machine/daemons.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { until } from '../daemon.ts'
import { contractDomain, libvirtContract } from './contract.ts'
import { type DomainDescription, domainXml } from './domain-xml.ts'
import type { LibvirtEvent } from './driver.ts'
import { realLibvirt } from './real.ts'

const stateDir = mkdtempSync(join(tmpdir(), 'libvirt-real-'))
const directory = join(stateDir, 'instances')
const bridge = 'qbrcontract'
const libvirt = realLibvirt()

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  chmodSync(stateDir, 0o755) // QEMU runs as a user of its own
  mkdirSync(directory)
  await ensureDaemons({ stateDir, parts: ['libvirt'] })
  await exec('ip', ['link', 'add', bridge, 'type', 'bridge'])
})
after(async () => {
  libvirt.close()
  await stopDaemons({ stateDir })
  rmSync(stateDir, { recursive: true, force: true })
})

libvirtContract(async () => ({ libvirt, directory, bridge }))

test('virsh sees what we define, and a restart of libvirtd is survived', async () => {
  const heard: LibvirtEvent[] = []
  const stop = libvirt.onEvent((event) => heard.push(event))
  const description: DomainDescription = { ...contractDomain({ directory, bridge }), disks: [] }
  const { uuid } = description
  await libvirt.defineDomain(domainXml(description))
  const { id } = await libvirt.startDomain(uuid)
  assert.match((await exec('virsh', ['--connect', 'qemu:///system', 'list'])).stdout, new RegExp(`${id} +instance-00000001 +running`))
  await stopDaemons({ stateDir, parts: ['libvirt'] })
  await until('the end of the connection is heard', () => heard.some((event) => event.kind === 'connection' && !event.up), 5_000)
  await assert.rejects(libvirt.listDomains(), { status: 503, code: 'LibvirtUnavailable', message: /libvirt-sock.*libvirtd/ })
  heard.length = 0
  await ensureDaemons({ stateDir, parts: ['libvirt'] })
  await until('it is connected again', () => heard.some((event) => event.kind === 'connection' && event.up), 10_000)
  assert.deepEqual(
    (await libvirt.listDomains()).map((domain) => [domain.id, domain.state]),
    [[id, 'running']],
  )
  // libvirtd takes its guests back one by one after it answers; this call waits until this one is.
  await libvirt.monitorCommand(uuid, { execute: 'query-status' })
  await libvirt.destroyDomain(uuid)
  await until('events come again', () => heard.some((event) => event.kind === 'lifecycle' && event.reason === 'destroyed'), 5_000)
  await libvirt.undefineDomain(uuid)
  stop()
})

test('many calls at once are answered each with its own', async () => {
  const [version, node, ...lists] = await Promise.all([
    libvirt.version(),
    libvirt.nodeInfo(),
    ...Array.from({ length: 50 }, () => libvirt.listDomains()),
  ])
  assert.ok(version.libvirt > 0 && node.cpus > 0)
  assert.deepEqual(lists.flat(), [])
})

test('nobody there: the message names the socket and the daemon', async () => {
  const nobody = realLibvirt({ socketPath: join(stateDir, 'no-sock') })
  await assert.rejects(nobody.version(), {
    status: 503,
    code: 'LibvirtUnavailable',
    message: /no-sock: there is no such socket. Is libvirtd/,
  })
  nobody.close()
})
