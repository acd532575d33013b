import assert from 'node:assert/strict'
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { collecting } from '../../kernel/trace/trace.ts'
import { until } from '../daemon.ts'
import { type DomainDescription, diskXml, domainXml, interfaceXml, secretXml } from './domain-xml.ts'
import type { Libvirt, LibvirtEvent } from './driver.ts'
import { find, first, parseXml } from './xml.ts'

export interface ContractOptions {
  libvirt: Libvirt
  /** Where disks and the console's log are put; the hypervisor's user must reach it. */
  directory: string
  /** A Linux bridge that is there. */
  bridge: string
}

const UUID = '7d2c5a52-0f6c-4d6e-9a57-3c1f6f0e8a01'

/** A machine without any system on it: 32 MiB, emulated, a disk of 8 MiB, one card. */
export function contractDomain({ directory, bridge }: Omit<ContractOptions, 'libvirt'>, number = 1): DomainDescription {
  const uuid = `${UUID.slice(0, -2)}${number.toString(16).padStart(2, '0')}`
  return {
    type: 'qemu',
    name: `instance-${number.toString(16).padStart(8, '0')}`,
    uuid,
    memoryMiB: 32,
    vcpus: 1,
    metadata: {
      version: '0.1.0',
      displayName: 'contract',
      hostname: 'contract',
      createdAt: '2026-01-01T00:00:00Z',
      flavor: { name: 'm1.nano', memoryMiB: 32, vcpus: 1, rootGiB: 0, ephemeralGiB: 0, swapMiB: 0 },
      projectId: 'p',
      userId: 'u',
      imageId: null,
      ports: [{ id: 'a0000000-0000-4000-8000-000000000001', addresses: ['10.0.0.3', 'fd00::3'] }],
    },
    cpuTune: { shares: 512 },
    system: { manufacturer: 'OpenStack Foundation', product: 'OpenStack Nova', version: '0.1.0', serial: uuid },
    os: { arch: 'x86_64', machine: 'pc', boot: ['hd'] },
    cpu: { mode: 'custom', model: 'qemu64' },
    disks: [
      {
        device: 'disk',
        source: { kind: 'file', path: join(directory, 'disk'), format: 'raw' },
        target: 'vda',
        bus: 'virtio',
        cache: 'writeback',
        serial: uuid.slice(0, 20),
        limits: { total_iops_sec: 100 },
      },
    ],
    interfaces: [
      {
        macAddress: `fa:16:3e:00:00:${number.toString(16).padStart(2, '0')}`,
        bridge,
        tap: `tapcontract-${number}`,
        model: 'virtio',
        mtu: 1450,
        vhost: false,
      },
    ],
    consoleLog: join(directory, 'console.log'),
    vnc: { listen: '127.0.0.1' },
    video: { model: 'vga' },
    tablet: true,
    rng: { source: '/dev/urandom' },
    guestAgent: true,
    balloonPeriod: 10,
  }
}

/** What both libvirtd and its twin keep to. */
export function libvirtContract(make: () => Promise<ContractOptions>): void {
  async function fresh() {
    const options = await make()
    const { libvirt } = options
    for (const { uuid, id } of await libvirt.listDomains()) {
      if (id >= 0) await libvirt.destroyDomain(uuid)
      await libvirt.undefineDomain(uuid)
    }
    mkdirSync(options.directory, { recursive: true })
    writeFileSync(join(options.directory, 'disk'), '')
    truncateSync(join(options.directory, 'disk'), 8 * 1024 * 1024)
    const heard: LibvirtEvent[] = []
    const stop = libvirt.onEvent((event) => heard.push(event))
    await until('the connection is up', () => heard.some((event) => event.kind === 'connection' && event.up), 5_000)
    const saw = (event: string, reason: string) =>
      until(
        `${event} (${reason}) is heard, after ${JSON.stringify(heard)}`,
        () => heard.some((each) => each.kind === 'lifecycle' && each.uuid === UUID && each.event === event && each.reason === reason),
        10_000,
      )
    return { ...options, heard, saw, stop, description: contractDomain(options) }
  }

  test('the host tells what it is', async () => {
    const { libvirt, stop } = await fresh()
    const version = await libvirt.version()
    assert.ok(version.libvirt >= 7_000_000 && version.hypervisor >= 5_000_000, JSON.stringify(version))
    assert.ok((await libvirt.hostname()).length > 0)
    const node = await libvirt.nodeInfo()
    assert.equal(node.model, 'x86_64')
    assert.ok(node.memoryMiB > 256 && node.cpus >= 1 && node.nodes >= 1 && node.sockets >= 1, JSON.stringify(node))
    const capabilities = parseXml(await libvirt.capabilities())
    assert.equal(first(capabilities, 'host', 'cpu', 'arch')?.text, 'x86_64')
    assert.ok(find(capabilities, 'guest').length > 0)
    assert.equal(first(parseXml(await libvirt.domainCapabilities({ type: 'qemu' })), 'domain')?.text, 'qemu')
    stop()
  })

  test('a domain is defined, found, defined again and undefined', async () => {
    const { libvirt, description, saw, stop } = await fresh()
    assert.deepEqual(await libvirt.listDomains(), [])
    const hostile = `a</yun:name><devices/>'"&amp;]]>\u0001😀`
    const metadata = { ...description.metadata, displayName: hostile }
    const domain = await libvirt.defineDomain(domainXml({ ...description, metadata }))
    assert.deepEqual({ ...domain, reason: '' }, { name: 'instance-00000001', uuid: UUID, id: -1, state: 'shutoff', reason: '' })
    await saw('defined', 'added')
    assert.deepEqual(await libvirt.domainByUuid(UUID), domain)
    assert.deepEqual(await libvirt.domainByName('instance-00000001'), domain)
    assert.deepEqual(await libvirt.listDomains(), [domain])
    const xml = parseXml(await libvirt.domainXml(UUID))
    assert.equal(first(xml, 'metadata', 'yun:instance', 'yun:name')?.text, hostile.replace('\u0001', '\uFFFD'))
    assert.equal(find(xml, 'devices', 'disk').length, 1)
    assert.equal(find(xml, 'sysinfo', 'system', 'entry').find((entry) => entry.attributes.name === 'product')?.text, 'OpenStack Nova')
    await libvirt.defineDomain(domainXml({ ...description, memoryMiB: 48 }))
    await saw('defined', 'updated')
    assert.equal((await libvirt.domainInfo(UUID)).maxMemoryKiB, 48 * 1024)
    await assert.rejects(libvirt.defineDomain(domainXml({ ...description, uuid: `${UUID.slice(0, -2)}ff` })), {
      status: 409,
      code: 'DomainExists',
    })
    await assert.rejects(libvirt.defineDomain('<domain><name>x'), { status: 400, code: 'DomainXml' })
    await libvirt.undefineDomain(UUID)
    await saw('undefined', 'removed')
    for (const call of [
      () => libvirt.domainByUuid(UUID),
      () => libvirt.startDomain(UUID),
      () => libvirt.undefineDomain(UUID),
      () => libvirt.domainByName('instance-00000001'),
      () => libvirt.domainXml(UUID),
    ])
      await assert.rejects(call, { status: 404, code: 'NoDomain' })
    stop()
  })

  test('a domain lives: paused start, resume, pause, reset, save, restore, end', async () => {
    const { libvirt, description, directory, saw, heard, stop } = await fresh()
    await libvirt.defineDomain(domainXml(description))
    await assert.rejects(libvirt.destroyDomain(UUID), { status: 409, code: 'DomainState' })
    const { commands, value: started } = await collecting(() => libvirt.startDomain(UUID, { paused: true }))
    assert.deepEqual(
      commands.map(({ what }) => what),
      ['libvirt: domain-start --paused instance-00000001'],
    )
    assert.ok(started.id > 0)
    assert.equal(started.state, 'paused')
    await saw('started', 'booted')
    await assert.rejects(libvirt.startDomain(UUID), { status: 409, code: 'DomainState' })

    const live = parseXml(await libvirt.domainXml(UUID))
    assert.match(first(live, 'devices', 'serial', 'source')?.attributes.path ?? '', /^\/dev\/pts\//)
    assert.ok(Number(first(live, 'devices', 'graphics')?.attributes.port) >= 5900)
    assert.equal(first(live, 'devices', 'interface', 'target')?.attributes.dev, 'tapcontract-1')
    assert.equal(first(parseXml(await libvirt.domainXml(UUID, { inactive: true })), 'devices', 'graphics')?.attributes.port, '-1')
    assert.ok(existsSync(join(directory, 'console.log')))

    await libvirt.resumeDomain(UUID)
    assert.equal((await libvirt.domainByUuid(UUID)).state, 'running')
    await libvirt.suspendDomain(UUID)
    await saw('suspended', 'paused')
    assert.deepEqual(
      (await libvirt.listDomains()).map(({ state, reason }) => [state, reason]),
      [['paused', 'user']],
    )
    await libvirt.resumeDomain(UUID)
    await saw('resumed', 'unpaused')
    await libvirt.resetDomain(UUID)
    const info = await libvirt.domainInfo(UUID)
    assert.deepEqual([info.state, info.maxMemoryKiB, info.memoryKiB, info.vcpus], ['running', 32 * 1024, 32 * 1024, 1])
    assert.deepEqual(await libvirt.monitorCommand(UUID, { execute: 'query-status' }), {
      status: 'running',
      running: true,
      singlestep: false,
    })
    await assert.rejects(libvirt.monitorCommand(UUID, { execute: 'no-such-command' }), { status: 500 })

    await libvirt.saveDomain(UUID)
    await saw('stopped', 'saved')
    assert.deepEqual([await libvirt.hasSaved(UUID), (await libvirt.domainByUuid(UUID)).state], [true, 'shutoff'])
    assert.equal((await libvirt.startDomain(UUID)).state, 'running')
    await saw('started', 'restored')
    assert.equal(await libvirt.hasSaved(UUID), false)
    await libvirt.saveDomain(UUID)
    await libvirt.removeSaved(UUID)
    assert.equal(await libvirt.hasSaved(UUID), false)
    await libvirt.startDomain(UUID)
    heard.length = 0
    await libvirt.destroyDomain(UUID)
    await saw('stopped', 'destroyed')
    const { state, reason, id } = await libvirt.domainByUuid(UUID)
    assert.deepEqual({ state, reason, id }, { state: 'shutoff', reason: 'destroyed', id: -1 })
    for (const call of [
      () => libvirt.suspendDomain(UUID),
      () => libvirt.resumeDomain(UUID),
      () => libvirt.shutdownDomain(UUID),
      () => libvirt.resetDomain(UUID),
      () => libvirt.saveDomain(UUID),
      () => libvirt.screenshot(UUID),
    ])
      await assert.rejects(call, { status: 409, code: 'DomainState' })
    await libvirt.undefineDomain(UUID)
    stop()
  })

  test('a running domain is looked at, and its memory changed', async () => {
    const { libvirt, description, stop } = await fresh()
    await libvirt.defineDomain(domainXml(description))
    await libvirt.startDomain(UUID)
    const { mime, data } = await libvirt.screenshot(UUID)
    assert.match(mime, /^image\//)
    assert.ok(data.length > 60)
    assert.ok(data.subarray(0, 4).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47])) || data.subarray(0, 2).toString() === 'P6')
    const stats = await libvirt.interfaceStats(UUID, 'tapcontract-1')
    assert.ok(stats.rxBytes >= 0 && stats.txBytes >= 0)
    assert.ok((await libvirt.diskStats(UUID, 'vda')).readRequests >= 0)
    assert.ok((await libvirt.diskInfo(UUID, 'vda')).capacity >= 8 * 1024 * 1024)
    await libvirt.resizeDisk(UUID, 'vda', 16 * 1024 * 1024)
    const limits = async (inactive: boolean) =>
      find(parseXml(await libvirt.domainXml(UUID, { inactive })), 'devices', 'disk', 'iotune').flatMap(({ children }) =>
        children.map(({ name, text }) => `${name} ${text}`),
      )
    await libvirt.limitDisk(
      UUID,
      'vda',
      { read_bytes_sec: 1_048_576, read_bytes_sec_max: 2_097_152, read_bytes_sec_max_length: 5 },
      { live: true },
    )
    assert.deepEqual(
      [await limits(false), await limits(true)],
      [['read_bytes_sec 1048576', 'read_bytes_sec_max 2097152', 'read_bytes_sec_max_length 5'], ['total_iops_sec 100']],
    )
    await libvirt.limitDisk(UUID, 'vda', {}, { live: true, config: true })
    assert.deepEqual([await limits(false), await limits(true)], [[], []])
    assert.ok((await libvirt.memoryStats(UUID)).actual! > 0)
    await libvirt.setMemory(UUID, 24, { live: true, config: true })
    await assert.rejects(libvirt.interfaceStats(UUID, 'tapnone'), { status: 400 })
    await assert.rejects(libvirt.diskInfo(UUID, 'vdz'), { status: 400 })
    // There is a channel for the agent, and nobody at its other end.
    if ((await libvirt.hostname()) !== 'simulated')
      await assert.rejects(libvirt.setUserPassword(UUID, 'root', 'x'), { status: 409, code: 'AgentUnresponsive' })
    await libvirt.destroyDomain(UUID)
    await libvirt.undefineDomain(UUID)
    stop()
  })

  test('devices come and go', async () => {
    const { libvirt, description, directory, bridge, heard, stop } = await fresh()
    await libvirt.defineDomain(domainXml(description))
    await libvirt.startDomain(UUID)
    const more = join(directory, 'more')
    writeFileSync(more, '')
    truncateSync(more, 1024 * 1024)
    // A disk on USB is let go without a system that agrees.
    const disk = diskXml({
      device: 'disk',
      source: { kind: 'file', path: more, format: 'raw' },
      target: 'sda',
      bus: 'usb',
      cache: 'writeback',
    })
    const both = { live: true, config: true }
    await libvirt.attachDevice(UUID, disk, both)
    const targets = async (inactive: boolean) =>
      find(parseXml(await libvirt.domainXml(UUID, { inactive })), 'devices', 'disk', 'target').map((target) => target.attributes.dev)
    assert.deepEqual(
      [await targets(false), await targets(true)],
      [
        ['vda', 'sda'],
        ['vda', 'sda'],
      ],
    )
    await assert.rejects(libvirt.attachDevice(UUID, disk, both), (error: any) => error.status >= 400)
    const alias = first(
      find(parseXml(await libvirt.domainXml(UUID)), 'devices', 'disk').find((each) => first(each, 'target')?.attributes.dev === 'sda'),
      'alias',
    )?.attributes.name
    assert.ok(alias)
    await libvirt.detachDevice(UUID, disk, both)
    await until(
      `${alias} is heard to be removed`,
      () => heard.some((event) => event.kind === 'device-removed' && event.alias === alias),
      10_000,
    )
    assert.deepEqual([await targets(false), await targets(true)], [['vda'], ['vda']])
    await assert.rejects(libvirt.detachDevice(UUID, disk, { live: true }), (error: any) => error.status >= 400)

    const card = interfaceXml({ macAddress: 'fa:16:3e:00:01:02', bridge, tap: 'tapcontract-2', model: 'virtio', mtu: 1450, vhost: false })
    await libvirt.attachDevice(UUID, card, both)
    const cards = find(parseXml(await libvirt.domainXml(UUID)), 'devices', 'interface', 'target')
    assert.deepEqual(
      cards.map((target) => target.attributes.dev),
      ['tapcontract-1', 'tapcontract-2'],
    )
    await libvirt.destroyDomain(UUID)
    await libvirt.detachDevice(UUID, card, { config: true })
    assert.equal(find(parseXml(await libvirt.domainXml(UUID)), 'devices', 'interface').length, 1)
    await libvirt.undefineDomain(UUID)
    stop()
  })

  test('a disk is snapshotted while it is used, and the snapshot merged again', async () => {
    const { libvirt, description, directory, heard, stop } = await fresh()
    const path = join(directory, 'disk')
    await libvirt.defineDomain(domainXml(description))
    await libvirt.startDomain(UUID)
    const over = join(directory, 'disk.over')
    await libvirt.snapshotDisks(
      UUID,
      `<domainsnapshot><disks><disk name='vda' snapshot='external'><driver type='qcow2'/><source file='${over}'/></disk></disks></domainsnapshot>`,
    )
    const source = async () => first(parseXml(await libvirt.domainXml(UUID)), 'devices', 'disk', 'source')?.attributes.file
    assert.equal(await source(), over)
    assert.equal(await libvirt.diskJob(UUID, 'vda'), null)
    await libvirt.commitDisk(UUID, 'vda')
    await until('the layer is committed', () => heard.some((event) => event.kind === 'disk-job' && event.status === 'ready'), 10_000)
    const job = await libvirt.diskJob(UUID, 'vda')
    assert.deepEqual([job?.type, job?.current], ['active-commit', job?.end])
    await libvirt.endDiskJob(UUID, 'vda', { pivot: true })
    await until('the layer below is in use again', async () => (await source()) === path, 10_000)
    await libvirt.destroyDomain(UUID)
    await libvirt.undefineDomain(UUID)
    stop()
  })

  test('a disk is copied while it is used: what came of it is thrown away, or is the disk from then on', async () => {
    const { libvirt, description, directory, stop } = await fresh()
    const [path, copy] = [join(directory, 'disk'), join(directory, 'copy')]
    writeFileSync(copy, '')
    truncateSync(copy, 8 * 1024 * 1024)
    await libvirt.defineDomain(domainXml(description))
    await libvirt.startDomain(UUID)
    const to = diskXml({
      device: 'disk',
      source: { kind: 'file', path: copy, format: 'raw' },
      target: 'vda',
      bus: 'virtio',
      serial: 'other',
    })
    const disk = async (inactive = false) => first(parseXml(await libvirt.domainXml(UUID, { inactive })), 'devices', 'disk')!
    const sources = async () => [await disk(), await disk(true)].map((one) => first(one, 'source')?.attributes.file)
    for (const pivot of [false, true]) {
      await libvirt.copyDisk(UUID, 'vda', to, { reuse: true })
      assert.equal(first(await disk(), 'mirror', 'source')?.attributes.file, copy)
      assert.equal(first(await disk(true), 'mirror'), undefined)
      await assert.rejects(libvirt.copyDisk(UUID, 'vda', to, { reuse: true }), (error: any) => error.status >= 400)
      await until('the copy is ready', async () => first(await disk(), 'mirror')?.attributes.ready === 'yes', 10_000)
      const job = await libvirt.diskJob(UUID, 'vda')
      assert.deepEqual([job?.type, job?.current], ['copy', job?.end])
      await libvirt.endDiskJob(UUID, 'vda', { pivot })
      await until('no copy is under way', async () => !first(await disk(), 'mirror'), 10_000)
      assert.deepEqual(await sources(), pivot ? [copy, copy] : [path, path])
      await assert.rejects(libvirt.endDiskJob(UUID, 'vda', { pivot }), (error: any) => error.status >= 400)
    }
    assert.equal(first(await disk(), 'serial')?.text, UUID.slice(0, 20), 'the guest sees the disk that it saw')
    await libvirt.destroyDomain(UUID)
    await libvirt.undefineDomain(UUID)
    stop()
  })

  test('secrets are kept by usage; their values are set and not told', async () => {
    const { libvirt, stop } = await fresh()
    const uuid = '5ec7e700-0000-4000-8000-000000000001'
    const xml = secretXml({ uuid, usageId: 'volume-1', description: 'CHAP & <more>' })
    assert.equal(await libvirt.defineSecret(xml), uuid)
    assert.equal(await libvirt.defineSecret(xml), uuid)
    const { commands } = await collecting(() => libvirt.setSecretValue(uuid, Buffer.from('hunter2')))
    assert.ok(commands.length > 0 && !JSON.stringify(commands).includes('hunter2'))
    assert.deepEqual(await libvirt.secretByUsage('iscsi', 'volume-1'), { uuid, usage: 'iscsi', usageId: 'volume-1' })
    assert.ok((await libvirt.listSecrets()).some((secret) => secret.uuid === uuid))
    await libvirt.undefineSecret(uuid)
    await assert.rejects(libvirt.undefineSecret(uuid), { status: 404, code: 'NoSecret' })
    await assert.rejects(libvirt.secretByUsage('iscsi', 'volume-1'), { status: 404, code: 'NoSecret' })
    stop()
  })
}
