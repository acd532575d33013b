import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { contractDomain } from './contract.ts'
import { type DomainDescription, diskXml, domainXml, interfaceXml, secretXml } from './domain-xml.ts'
import { type Element, find, first, parseXml } from './xml.ts'

const instances = '/var/lib/nova/instances/73b896bb-7c7d-447e-ab6a-c4089532f003'

/** The article's instance-00000006. */
const article: DomainDescription = {
  type: 'kvm',
  name: 'instance-00000006',
  uuid: '73b896bb-7c7d-447e-ab6a-c4089532f003',
  memoryMiB: 2048,
  vcpus: 1,
  metadata: {
    version: '0.1.0',
    displayName: 'cirros',
    hostname: 'cirros',
    createdAt: '2014-10-01T09:51:00Z',
    flavor: { name: 'm1.small', memoryMiB: 2048, vcpus: 1, rootGiB: 20, ephemeralGiB: 0, swapMiB: 0 },
    projectId: 'd0000000000000000000000000000001',
    userId: 'u0000000000000000000000000000001',
    imageId: 'd96b0e41-8264-41de-8dbb-6b31ce9bfbfc',
    ports: [{ id: 'c51a349e-87a4-4b5c-8c2f-000000000001', addresses: ['10.10.10.3'] }],
  },
  cpuTune: { shares: 1024, period: 100_000, quota: 50_000 },
  system: {
    manufacturer: 'OpenStack Foundation',
    product: 'OpenStack Nova',
    version: '0.1.0',
    serial: '80590690-87d2-e311-b1b0-a0481cabdfb4',
  },
  os: { arch: 'x86_64', machine: null, boot: ['hd'] },
  cpu: { mode: 'host-model' },
  topology: { sockets: 1, cores: 1, threads: 1 },
  disks: [
    { device: 'disk', source: { kind: 'file', path: `${instances}/disk`, format: 'qcow2' }, target: 'vda', bus: 'virtio' },
    {
      device: 'disk',
      source: {
        kind: 'iscsi',
        portal: '127.0.0.1:3260',
        iqn: 'iqn.2010-10.org.openstack:volume-1',
        lun: 1,
        auth: { username: 'chap', secretUuid: '5ec7e700-0000-4000-8000-000000000001' },
      },
      target: 'vdb',
      bus: 'virtio',
      serial: '6e1f0a0e-0000-4000-8000-000000000001',
      limits: { total_iops_sec: 500, read_bytes_sec: 1_048_576 },
    },
    {
      device: 'cdrom',
      source: { kind: 'file', path: `${instances}/disk.config`, format: 'raw' },
      target: 'hda',
      bus: 'ide',
      readOnly: true,
    },
  ],
  interfaces: [
    { macAddress: 'fa:16:3e:ae:f4:17', bridge: 'qbrc51a349e-87', tap: 'tapc51a349e-87', model: 'virtio', mtu: 1450, vhost: true },
  ],
  consoleLog: `${instances}/console.log`,
  vnc: { listen: '127.0.0.1', keymap: 'en-us' },
  video: { model: 'cirrus', vramKiB: 9216 },
  tablet: true,
  rng: { source: '/dev/urandom' },
  guestAgent: true,
  watchdog: 'reset',
  balloonPeriod: 10,
}

test("the article's domain", () => {
  assert.equal(domainXml(article), readFileSync(join(import.meta.dirname, 'instance-00000006.xml'), 'utf8'))
})

test('what is not asked for is not there', () => {
  const root = parseXml(
    domainXml({
      ...article,
      type: 'qemu',
      cpu: null,
      topology: undefined,
      cpuTune: {},
      disks: [],
      interfaces: [],
      rng: null,
      guestAgent: false,
      tablet: false,
      watchdog: undefined,
      balloonPeriod: null,
      os: { ...article.os, kernel: '/k', initrd: '/i', commandLine: 'root=/dev/vda console=ttyS0' },
    }),
  )
  assert.equal(root.attributes.type, 'qemu')
  for (const path of [
    ['cpu'],
    ['cputune'],
    ['memtune'],
    ['devices', 'rng'],
    ['devices', 'channel'],
    ['devices', 'input'],
    ['devices', 'watchdog'],
  ])
    assert.equal(first(root, ...path), undefined, path.join('/'))
  assert.equal(first(root, 'devices', 'memballoon')?.attributes.model, 'none')
  assert.deepEqual(
    ['kernel', 'initrd', 'cmdline'].map((name) => first(root, 'os', name)?.text),
    ['/k', '/i', 'root=/dev/vda console=ttyS0'],
  )
})

test('disks and cards for hot plug', () => {
  const iscsi = parseXml(
    diskXml({
      device: 'disk',
      source: { kind: 'iscsi', portal: '[fd00::1]:3261', iqn: 'iqn.x:y', lun: 0, auth: null },
      target: 'sdb',
      bus: 'scsi',
      readOnly: true,
      discard: true,
    }),
  )
  assert.deepEqual(first(iscsi, 'source', 'host')?.attributes, { name: 'fd00::1', port: '3261' })
  assert.equal(first(iscsi, 'source')?.attributes.name, 'iqn.x:y/0')
  assert.equal(first(iscsi, 'driver')?.attributes.discard, 'unmap')
  assert.deepEqual([first(iscsi, 'auth'), !!first(iscsi, 'readonly')], [undefined, true])
  const card = parseXml(
    interfaceXml({
      ...article.interfaces[0]!,
      vhost: false,
      queues: 2,
      noOffload: true,
      openvswitch: { interfaceId: 'p' },
      bandwidth: { inboundAverage: 1000, outboundAverage: 500 },
    }),
  )
  assert.deepEqual(first(card, 'driver')?.attributes, { name: 'qemu', queues: '2' })
  assert.equal(first(card, 'driver', 'host')?.attributes.csum, 'off')
  assert.equal(first(card, 'driver', 'guest')?.attributes.gso, undefined)
  assert.equal(first(card, 'virtualport', 'parameters')?.attributes.interfaceid, 'p')
  assert.equal(first(card, 'bandwidth', 'outbound')?.attributes.average, '500')
  assert.equal(first(parseXml(secretXml({ uuid: 'u', usageId: 'a&b', description: '' })), 'usage', 'target')?.text, 'a&b')
})

const shape = ({ name, attributes, children }: Element): unknown => [name, Object.keys(attributes), children.map(shape)]
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('<', '>', '&', "'", '"', ']]>', '<!--', '-->', '</domain>', '\0', '\ud800', '\n', '\t', '\r', 'a', ' '),
  }),
)
/** What XML can hold of a text. */
const holdable = (text: string) => text.toWellFormed().replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\uFFFD')

test('nothing that a user names breaks out of its place', () => {
  const plain = contractDomain({ directory: '/d', bridge: 'b' })
  const expected = shape(parseXml(domainXml(plain)))
  fc.assert(
    fc.property(hostile.filter(Boolean), hostile.filter(Boolean), hostile.filter(Boolean), (name, flavor, path) => {
      const root = parseXml(
        domainXml({
          ...plain,
          metadata: { ...plain.metadata, displayName: name, flavor: { ...plain.metadata.flavor, name: flavor } },
          disks: [{ ...plain.disks[0]!, source: { kind: 'file', path, format: 'qcow2' } }],
        }),
      )
      assert.deepEqual(shape(root), expected)
      const instance = first(root, 'metadata', 'yun:instance')
      assert.equal(first(instance, 'yun:name')?.text, holdable(name))
      assert.equal(first(instance, 'yun:flavor')?.attributes.name, holdable(flavor))
      assert.equal(find(root, 'devices', 'disk', 'source')[0]?.attributes.file, holdable(path))
    }),
  )
})

test('XML that is broken is refused, and other XML read', () => {
  for (const xml of ['', 'x', '<a>', '<a></b>', '<a/><b/>', '</a>', '<a b="<c">', "<a b='", '<a/>x', '<a><!-- </a>'])
    assert.throws(() => parseXml(xml), { status: 400, code: 'DomainXml' }, xml)
  const root = parseXml(`<?xml version="1.0"?>\n<!-- a -- b --><a x = "1>2" y='&#x41;&#66;&quot;'><![CDATA[<&]]>&lt;&unknown;<b/></a>\n`)
  assert.deepEqual(root, {
    name: 'a',
    attributes: { x: '1>2', y: 'AB"' },
    text: '<&<&unknown;',
    children: [{ name: 'b', attributes: {}, children: [], text: '' }],
  })
})
