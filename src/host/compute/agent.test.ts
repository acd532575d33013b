import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { host as messages } from '../../compute/rpc.ts'
import { until } from '../../drivers/daemon.ts'
import { simulatedIso } from '../../drivers/iso/simulated.ts'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { collecting } from '../../kernel/trace/trace.ts'
import { GiB } from '../../kernel/units/units.ts'
import { build, connection, flavor, gib, instance, onHost, unwind, uuidOf, vif } from './testing.ts'

const uuid = uuidOf(1)

for (const times of [1, 2])
  test(`a server is built, each message ${times === 1 ? 'once' : 'twice'}, and nothing is left when it is unwound`, () =>
    onHost(async ({ tell, directory, libvirt, ovs, netns, images }) => {
      const spec = instance(1, { configDrive: true, files: [{ path: '/etc/motd', contents: Buffer.from('hello').toString('base64') }] })
      const made = await build(tell, { spec, times })
      assert.equal(made.received.host, 'one')
      assert.match(made.received.hypervisor, /^QEMU 7\.2\.22, emulated$/)
      assert.deepEqual([made.claimed.vcpus, made.claimed.memoryMiB, made.claimed.diskGiB], [1, 128, 1])
      assert.deepEqual(made.claimed.free, { vcpus: 63, memoryMiB: 6144 - 512 - 128, diskGiB: 39 })
      assert.equal(made.directory.path, join(directory, uuid))
      assert.equal(made.base!.cached, times > 1)
      assert.equal(images.downloads, 1)
      assert.equal(made.overlay!.backingFile, made.base!.path)
      assert.deepEqual([gib(made.resized!.virtualSizeBytes), made.resized!.grown], [1, times === 1])
      assert.deepEqual(made.injected, { files: ['/etc/motd'], by: "the config drive's openstack/content" })
      assert.equal(made.defined.domainName, 'instance-00000001')
      assert.deepEqual([made.started.powerState, made.started.domainId, made.started.vncPort], ['running', 1, 5901])

      const port = (await ovs.ports('br-int')).find((each) => each.name.startsWith('qvo'))!
      assert.deepEqual(port.externalIds, {
        'iface-id': vif().portId,
        'iface-status': 'active',
        'attached-mac': 'fa:16:3e:00:03:01',
        'vm-uuid': uuid,
      })
      const links = await netns.links()
      const qvb = links.find(({ name }) => name.startsWith('qvb'))!
      assert.deepEqual([qvb.master, qvb.mtu, qvb.up, qvb.promisc], ['qbrc51a3401-87', 1450, true, true])
      assert.deepEqual(libvirt.changes().filter((each) => each.startsWith('domain-start')).length, 1)

      const things = await tell(messages.audit, {})
      assert.deepEqual(things.map(({ kind, owner }) => `${kind} ${owner}`).sort(), [
        `claim ${uuid}`,
        ...Array.from({ length: 4 }, () => `device ${vif().portId}`),
        `directory ${uuid}`,
        `domain ${uuid}`,
      ])
      await unwind(tell, { spec, times })
      assert.deepEqual(await tell(messages.audit, {}), [])
      assert.deepEqual(readdirSync(directory).sort(), ['_base', '_claims', '_holders'])
      assert.deepEqual([readdirSync(join(directory, '_claims', 'one')), readdirSync(join(directory, '_holders'))], [[], []])
    }))

test('unwinding works from wherever a build ended', () =>
  onHost(async ({ tell, libvirt }) => {
    await unwind(tell, { times: 2 })
    libvirt.failOn('startDomain')
    await assert.rejects(build(tell, { volumes: [connection()] }), { status: 500 })
    assert.equal((await libvirt.listSecrets()).length, 1)
    await unwind(tell)
    assert.deepEqual(await tell(messages.audit, {}), [])
    assert.deepEqual(await libvirt.listSecrets(), [])
  }))

test('the definition has what the server asked for', () =>
  onHost(async ({ tell, directory }) => {
    const spec = instance(1, {
      displayName: `<&'">`,
      configDrive: true,
      flavor: flavor({
        vcpus: 2,
        ephemeralGiB: 1,
        swapMiB: 64,
        extraSpecs: { 'quota:cpu_quota': '50000', 'quota:disk_read_iops_sec': '100' },
      }),
    })
    spec.image!.properties = { hw_disk_bus: 'virtio', hw_qemu_guest_agent: 'yes', hw_watchdog_action: 'reset' }
    const { xml } = await build(tell, { spec, volumes: [connection()] })
    const domain = parseXml(xml)
    assert.equal(first(domain, 'metadata', 'yun:instance', 'yun:name')?.text, `<&'">`)
    assert.deepEqual(
      [first(domain, 'cputune', 'shares')?.text, first(domain, 'cputune', 'quota')?.text, first(domain, 'vcpu')?.text],
      ['2048', '50000', '2'],
    )
    assert.deepEqual(
      find(domain, 'devices', 'disk', 'target').map(({ attributes }) => `${attributes.dev} ${attributes.bus}`),
      ['vda virtio', 'vdb virtio', 'vdy virtio', 'vdz virtio', 'hda ide'],
    )
    assert.equal(first(domain, 'devices', 'interface', 'source')?.attributes.bridge, 'qbrc51a3401-87')
    assert.equal(first(domain, 'devices', 'serial', 'log')?.attributes.file, join(directory, uuid, 'console.log'))
    assert.ok(!xml.includes('not-to-be-seen'))
    assert.deepEqual(readdirSync(join(directory, uuid)).sort(), ['console.log', 'disk', 'disk.config', 'disk.eph0', 'disk.swap'])
    for (const [key, value] of [
      ['quota:cpu_shares', 'many'],
      ['quota:cpu_period', '-1'],
    ])
      await assert.rejects(
        tell(messages.makeXml, { instance: { ...spec, flavor: flavor({ extraSpecs: { [key!]: value! } }) }, vifs: [], volumes: [] }),
        { status: 400, code: 'BadFlavor' },
      )
    const rescue = parseXml((await tell(messages.makeXml, { instance: spec, vifs: [], volumes: [connection()], rescue: true })).xml)
    assert.deepEqual(
      find(rescue, 'devices', 'disk', 'source')
        .slice(0, 2)
        .map(({ attributes }) => attributes.file),
      ['disk', 'disk.rescue'].map((name) => join(directory, uuid, name)),
    )
    const rooted = [connection(1, { device: '/dev/vda' }), connection(2, { bootIndex: 0 })]
    const booted = parseXml((await tell(messages.makeXml, { instance: { ...spec, image: null }, vifs: [], volumes: rooted })).xml)
    assert.deepEqual(
      find(booted, 'devices', 'disk', 'target')
        .slice(0, 2)
        .map(({ attributes }) => attributes.dev),
      ['vdb', 'vda'],
    )
    const odd = structuredClone(spec)
    odd.image!.properties.hw_disk_bus = 'toString'
    await assert.rejects(tell(messages.makeXml, { instance: odd, vifs: [], volumes: [] }), { status: 400, code: 'BadImage' })
  }))

test('a config drive says who the server is; one that is not asked for any more goes', () =>
  onHost(async ({ tell, directory }) => {
    const spec = instance(1, { configDrive: true })
    await build(tell, { spec, vifs: [vif(1, { floatingIps: { '10.1.0.11': ['172.24.4.50'] } })] })
    const path = join(directory, uuid, 'disk.config')
    const { label, files } = await simulatedIso().read(path)
    const json = (name: string) => JSON.parse(Buffer.from(files.get(name)!).toString())
    assert.equal(label, 'config-2')
    assert.equal(json('openstack/latest/meta_data.json').uuid, uuid)
    assert.equal(json('openstack/latest/meta_data.json').admin_pass, 'hunter2hunter2')
    assert.deepEqual(json('openstack/latest/network_data.json').networks[0].type, 'ipv4_dhcp')
    assert.equal(json('ec2/latest/meta-data.json')['public-ipv4'], '172.24.4.50')
    assert.equal(Buffer.from(files.get('openstack/latest/user_data')!).toString(), '#!/bin/sh\necho hello\n')
    assert.equal(statSync(path).mode & 0o777, 0o600)
    const plain = instance(1)
    assert.deepEqual(await tell(messages.buildConfigDrive, { instance: plain, vifs: [] }), { path: null, bytes: 0 })
    assert.deepEqual(await tell(messages.injectFiles, { instance: plain, vifs: [] }), { files: [], by: 'nothing' })
    assert.ok(!existsSync(path))
  }))

test('claims: what is full says so, and the next process remembers', () =>
  onHost(async ({ tell, host, restart }) => {
    const big = flavor({ ramMiB: 5000, rootGiB: 10 })
    const first = await tell(messages.claim, { uuid, flavor: big, imageBacked: true })
    assert.equal((await tell(messages.claim, { uuid, flavor: big, imageBacked: true })).claimId, first.claimId)
    await restart()
    const other = { uuid: uuidOf(2), flavor: big, imageBacked: true }
    await assert.rejects(tell(messages.claim, other), {
      status: 409,
      code: 'ResourcesGone',
      message: /5000 MiB of memory wanted, 632 left/,
    })
    await tell(messages.claim, { ...other, limits: { memoryMiB: 20_000 } })
    await tell(messages.unclaim, { uuid })
    await tell(messages.unclaim, { uuid })
    const state = await tell(messages.report, {})
    assert.deepEqual([state.vcpusUsed, state.memoryMiBUsed, state.diskGiBUsed], [1, 5512, 10])
    assert.deepEqual(Object.keys(await host.state()), Object.keys(state))
    const many = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) =>
        tell(messages.claim, { uuid: uuidOf(n + 10), flavor: flavor({ rootGiB: 10 }), imageBacked: true }),
      ),
    )
    assert.equal(many.filter(({ status }) => status === 'fulfilled').length, 3, '30 GiB are left, whoever asks at once')
  }))

test('control hears of changes: claims, and what guests do by themselves', () =>
  onHost(async ({ tell, libvirt, reports, powers }) => {
    await build(tell)
    await until('the report has the guest', () => reports.at(-1)?.instances[uuid] === 'running', 2_000)
    assert.deepEqual([reports.at(-1)!.runningVms, reports.at(-1)!.notice], [1, 'simulated'])
    libvirt.guest(uuid, 'shuts-down')
    await until('the end is heard', () => powers.at(-1)?.powerState === 'shutdown', 2_000)
    await tell(messages.start, { uuid })
    libvirt.guest(uuid, 'io-error')
    await until('the pause is heard', () => powers.at(-1)?.event === 'suspended io-error', 2_000)
    libvirt.setUp(false)
    await assert.rejects(tell(messages.start, { uuid }), { status: 503, code: 'LibvirtUnavailable' })
    libvirt.setUp(true)
    libvirt.guest(uuid, 'crashes')
    await until('the crash is heard', () => powers.at(-1)?.powerState === 'crashed', 2_000)
    assert.ok(powers.every((each) => each.uuid === uuid))
  }))

test("a domain of somebody else's is not ours", () =>
  onHost(async ({ tell, libvirt }) => {
    await build(tell)
    const theirs = (await libvirt.domainXml(uuid, { inactive: true }))
      .replaceAll('urn:yun:instance:1', 'http://openstack.org/xmlns/libvirt/nova/1.1')
      .replaceAll(uuid, uuidOf(9))
      .replace('instance-00000001', 'instance-00000009')
    await libvirt.defineDomain(theirs)
    assert.deepEqual(Object.keys((await tell(messages.report, {})).instances), [uuid])
    assert.ok((await tell(messages.audit, {})).every(({ owner }) => owner !== uuidOf(9)))
  }))

test('power: every operation twice', () =>
  onHost(async ({ tell, libvirt }) => {
    await build(tell)
    const state = async () => (await tell(messages.powerState, { uuid })).powerState
    const twice = async (message: typeof messages.pause) => {
      await tell(message, { uuid })
      await tell(message, { uuid })
      return await state()
    }
    assert.equal(await twice(messages.pause), 'paused')
    assert.equal(await twice(messages.unpause), 'running')
    assert.equal(await twice(messages.suspend), 'suspended')
    assert.equal(await twice(messages.resume), 'running')
    assert.deepEqual(await tell(messages.stop, { uuid, timeoutMs: 1_000 }), { clean: true })
    assert.deepEqual(await tell(messages.stop, { uuid, timeoutMs: 1_000 }), { clean: true })
    assert.equal(await state(), 'shutdown')
    await tell(messages.start, { uuid })
    libvirt.acpi = false
    assert.deepEqual(await tell(messages.stop, { uuid, timeoutMs: 30 }), { clean: false })
    libvirt.acpi = true
    await tell(messages.start, { uuid })
    assert.equal((await tell(messages.reboot, { uuid, hard: false })).powerState, 'running')
    assert.equal((await tell(messages.reboot, { uuid, hard: true })).powerState, 'running')
    await tell(messages.suspend, { uuid })
    assert.equal(await twice(messages.destroy), 'shutdown', 'saved memory is gone too')
    await unwind(tell)
    assert.deepEqual(await tell(messages.powerState, { uuid }), { powerState: 'nostate', exists: false })
    assert.deepEqual(await tell(messages.stop, { uuid, timeoutMs: 1_000 }), { clean: true })
    await assert.rejects(tell(messages.start, { uuid }), { status: 404 })
  }))

test('kept disks: rebuild steps aside, resize works on a copy', () =>
  onHost(async ({ tell, directory }) => {
    const { base } = await build(tell)
    await tell(messages.destroy, { uuid })
    const disk = join(directory, uuid, 'disk')
    const before = readFileSync(disk)
    const rebuild = { uuid, name: 'rebuild' }
    for (let n = 0; n < 2; n++) assert.deepEqual(await tell(messages.keepDisk, rebuild), { kept: true })
    assert.ok(!existsSync(disk))
    await tell(messages.createOverlay, { uuid, basePath: base!.path, baseFormat: base!.format })
    assert.notDeepEqual(readFileSync(disk), before)
    assert.deepEqual(await tell(messages.keepDisk, rebuild), { kept: true })
    for (let n = 0; n < 2; n++) await tell(messages.restoreDisk, rebuild)
    assert.deepEqual(readFileSync(disk), before)

    const resize = { uuid, name: 'resize' }
    for (let n = 0; n < 2; n++) assert.deepEqual(await tell(messages.keepDisk, resize), { kept: true })
    assert.deepEqual(await tell(messages.resizeDisk, { uuid, rootGiB: 3 }).then(({ grown }) => grown), true)
    await assert.rejects(tell(messages.resizeDisk, { uuid, rootGiB: 1 }), { status: 400, code: 'FlavorDiskSmallerThanImage' })
    await tell(messages.restoreDisk, resize)
    assert.deepEqual(readFileSync(disk), before)
    await tell(messages.keepDisk, resize)
    for (let n = 0; n < 2; n++) await tell(messages.dropDisk, resize)
    assert.deepEqual(readdirSync(join(directory, uuid)).sort(), ['console.log', 'disk'])
    await assert.rejects(tell(messages.keepDisk, { uuid, name: '../../x' }), { status: 400 })
    await assert.rejects(tell(messages.removeDirectory, { uuid: '../etc' }), { status: 400 })
    assert.deepEqual(await tell(messages.keepDisk, { uuid: uuidOf(5), name: 'rebuild' }), { kept: false })
  }))

test('volumes and cards come and go', () =>
  onHost(async ({ tell, libvirt }) => {
    await build(tell)
    const asked = { uuid, connection: connection(), live: true }
    const { commands } = await collecting(() => tell(messages.attachVolume, asked))
    assert.ok(commands.length > 0 && !JSON.stringify(commands).includes('not-to-be-seen'))
    assert.equal((await tell(messages.attachVolume, asked)).device, '/dev/vdb')
    assert.equal(libvirt.secretValue(connection().attachmentId)?.toString(), 'not-to-be-seen')
    const grown = async (one: ReturnType<typeof connection>) =>
      (await collecting(() => tell(messages.extendVolume, { uuid, connection: one }))).commands.filter((each) =>
        JSON.stringify(each).includes('blockresize'),
      )
    assert.match(JSON.stringify(await grown({ ...connection(), sizeGiB: 7 })), new RegExp(`blockresize vdb ${7 * GiB} `))
    assert.deepEqual(await grown(connection(9)), [], 'it has none such')
    const former = { ...connection(), portal: '', iqn: '', auth: null }
    for (let n = 0; n < 2; n++) await tell(messages.detachVolume, { uuid, connection: former, live: true })
    assert.deepEqual(await libvirt.listSecrets(), [])
    const disks = async (inactive: boolean) => find(parseXml(await libvirt.domainXml(uuid, { inactive })), 'devices', 'disk').length
    assert.deepEqual([await disks(false), await disks(true)], [1, 1])

    libvirt.failOn('attachDevice')
    await assert.rejects(tell(messages.attachVolume, asked), { status: 500 })
    assert.deepEqual(await libvirt.listSecrets(), [], 'no secret of a volume that did not come')
    const second = { uuid, vif: vif(2), flavor: flavor(), live: true }
    for (const message of [messages.createBridge, messages.createVeth, messages.joinBridge, messages.joinIntegration])
      await tell(message as typeof messages.createBridge, second)
    for (let n = 0; n < 2; n++) await tell(messages.attachInterface, second)
    const cards = async () => find(parseXml(await libvirt.domainXml(uuid)), 'devices', 'interface').length
    assert.equal(await cards(), 2)
    for (let n = 0; n < 2; n++) await tell(messages.detachInterface, second)
    assert.equal(await cards(), 1)
    await tell(messages.detachVolume, { uuid: uuidOf(7), connection: former, live: false })
  }))

test("a volume's QoS specs limit its disk; those that QEMU does not know are for somebody else", () =>
  onHost(async ({ tell, libvirt }) => {
    await build(tell)
    const limited = (qos: Record<string, string>) => tell(messages.attachVolume, { uuid, connection: connection(1, { qos }), live: true })
    const refused: [Record<string, string>, RegExp][] = [
      [{ total_iops_sec: 'many' }, /total_iops_sec="many"/],
      [{ total_bytes_sec_max: '9', write_bytes_sec_max: '9' }, /at the same time/],
      [{ read_iops_sec: '9', read_iops_sec_max: '9' }, /more than read_iops_sec/],
      [{ read_iops_sec_max: '9' }, /more than read_iops_sec/],
      [{ read_iops_sec: '9', read_iops_sec_max_length: '1' }, /without read_iops_sec_max/],
      [{ total_bytes_sec: '9', total_iops_sec: '0', size_iops_sec: '512' }, /no requests/],
    ]
    for (const [qos, message] of refused) await assert.rejects(limited(qos), { status: 400, code: 'BadQos', message })
    await limited({ read_iops_sec_max: '500', read_iops_sec: '200', read_iops_sec_max_length: '10', 'hv:latency': '3' })
    for (const inactive of [false, true])
      assert.deepEqual(
        first(parseXml(await libvirt.domainXml(uuid, { inactive })), 'devices', 'disk', 'iotune')?.children.map(({ name, text }) => [
          name,
          text,
        ]),
        [
          ['read_iops_sec', '200'],
          ['read_iops_sec_max', '500'],
          ['read_iops_sec_max_length', '10'],
        ],
      )
  }))

test('how fast a flavor lets its guests be stands on their ports in the switch', () =>
  onHost(async ({ tell, ovs }) => {
    const limited = flavor({ extraSpecs: { 'quota:vif_inbound_average': '1000', 'quota:vif_outbound_average': '500' } })
    await build(tell, { spec: instance(1, { flavor: limited }) })
    const [port] = (await ovs.ports('br-int')).filter(({ externalIds }) => externalIds['vm-uuid'] === uuid)
    assert.deepEqual([port!.externalIds['limit-ingress-kbps'], port!.externalIds['limit-egress-kbps']], ['8000', '4000'])
    const many = flavor({ extraSpecs: { 'quota:vif_inbound_average': 'many' } })
    await assert.rejects(tell(messages.joinIntegration, { uuid, vif: vif(1), flavor: many }), { status: 400, message: /no whole number/ })
  }))

test('a port that nobody bound is not plugged', () =>
  onHost(async ({ tell }) => {
    await assert.rejects(tell(messages.createBridge, { uuid, vif: vif(1, { vifType: 'binding_failed' }), flavor: flavor() }), {
      code: 'VirtualInterfaceUnplugged',
      message: /binding_failed/,
    })
    const direct = vif(3, { details: { ovsHybridPlug: false, portFilter: true, bridgeName: 'br-int', datapathType: 'netdev' } })
    assert.deepEqual(await tell(messages.joinIntegration, { uuid, vif: direct, flavor: flavor() }), {
      bridge: 'br-int',
      port: 'tapc51a3403-87',
    })
  }))

test('looking at a guest', () =>
  onHost(async ({ tell, directory }) => {
    assert.deepEqual(await tell(messages.console, { uuid, kind: 'vnc' }), { host: '127.0.0.1', port: null, path: null })
    assert.deepEqual(await tell(messages.consoleLog, { uuid, lines: null }), { output: '' })
    await build(tell)
    assert.deepEqual(await tell(messages.console, { uuid, kind: 'vnc' }), { host: '127.0.0.1', port: 5901, path: null })
    assert.match((await tell(messages.console, { uuid, kind: 'serial' })).path ?? '', /^\/dev\/pts\//)
    const log = join(directory, uuid, 'console.log')
    writeFileSync(`${log}.0`, 'earlier\n')
    writeFileSync(log, 'one\ntwo\nthree\n')
    assert.equal((await tell(messages.consoleLog, { uuid, lines: 3 })).output, 'two\nthree\n')
    assert.equal((await tell(messages.consoleLog, { uuid, lines: null })).output, 'earlier\none\ntwo\nthree\n')
    assert.equal((await tell(messages.consoleLog, { uuid, lines: 0 })).output, '')
    writeFileSync(log, 'x'.repeat(300_000))
    assert.equal((await tell(messages.consoleLog, { uuid, lines: null })).output.length, 102_400)
    const counted = await tell(messages.diagnostics, { uuid })
    assert.deepEqual([counted.state, counted.num_nics, counted.num_disks], ['running', 1, 1])
    assert.equal((await tell(messages.screenshot, { uuid })).type, 'image/png')
    assert.match((await tell(messages.domainXml, { uuid })).xml, /<domain /)
    await assert.rejects(tell(messages.setPassword, { uuid, password: 'secret' }), { status: 409, message: /guest agent/ })
  }))

test('a simulated server costs little', () =>
  onHost(
    async ({ tell }) => {
      await build(tell, { spec: instance(1), vifs: [vif(1)] })
      const from = performance.now()
      for (let n = 2; n < 52; n++) await build(tell, { spec: instance(n), vifs: [vif(n)] })
      const each = (performance.now() - from) / 50
      assert.ok(each < 40, `${each.toFixed(1)} ms a server`)
    },
    { capacity: { vcpus: 100, memoryMiB: 100_000, diskGiB: 1_000 } },
  ))
