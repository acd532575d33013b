import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { flavorSpec } from '../../testing.ts'
import { matchesSpec } from './extra-specs.ts'
import { filterHosts, whyNot } from './filters.ts'
import type { Candidate } from './host-states.ts'
import { holds, parseQuery } from './json-filter.ts'
import { type RequestSpec, resourcesOf } from './request-spec.ts'
import { weighHosts } from './weighers.ts'

const candidate = (host: string, own: Partial<Candidate> = {}): Candidate => ({
  host,
  node: host,
  providerId: `p-${host}`,
  state: {
    host,
    hypervisorHostname: host,
    hypervisorType: 'QEMU',
    hypervisorVersion: 9002000,
    supportedInstances: [['x86_64', 'kvm', 'hvm']],
    cpuModel: 'EPYC',
    cpuFeatures: ['avx', 'sse4'],
    vcpus: 8,
    memoryMiB: 16_384,
    diskGiB: 100,
    vcpusUsed: 0,
    memoryMiBUsed: 0,
    diskGiBUsed: 0,
    freeDiskGiB: 100,
    runningVms: 0,
    ioOps: 0,
    hostIp: '127.0.0.1',
    kvm: true,
    notice: null,
    instances: {},
    startedAt: '2026-01-01T00:00:00.000Z',
    version: '0',
  },
  enabled: true,
  disabledReason: null,
  up: true,
  silentS: 0,
  zone: 'nova',
  aggregates: [],
  fits: true,
  free: { vcpus: 8, memoryMiB: 16_384, diskGiB: 100 },
  servers: 0,
  ioOps: 0,
  limits: { ioOps: Number.POSITIVE_INFINITY, servers: Number.POSITIVE_INFINITY },
  groupMembers: 0,
  hinted: [],
  ...own,
})
const aggregate = (metadata: Record<string, string>) => ({
  id: 1,
  uuid: 'u',
  name: 'a',
  metadata,
  hosts: [],
  created_at: '',
  updated_at: null,
})
const spec = (own: Partial<RequestSpec> = {}): RequestSpec => ({
  serverId: 's',
  projectId: 'p',
  flavor: flavorSpec(),
  image: null,
  volumeBacked: false,
  zone: null,
  forcedHost: null,
  forcedNode: null,
  ignoreHosts: [],
  hints: {},
  group: null,
  resources: { VCPU: 1, MEMORY_MB: 2048, DISK_GB: 1 },
  ...own,
})
const image = (properties: Record<string, string>) => ({ properties }) as unknown as RequestSpec['image']
const left = (hosts: Candidate[], wish: Partial<RequestSpec>) => filterHosts(hosts, spec(wish)).left.map((one) => one.host)

describe('filters', () => {
  const hosts = (a: Partial<Candidate>) => [candidate('a', a), candidate('b')]
  const cases: [name: string, host: Partial<Candidate>, wish: Partial<RequestSpec>, left: string[]][] = [
    ['a host that is disabled', { enabled: false }, {}, ['b']],
    ['a host that is silent', { up: false }, {}, ['b']],
    ['another zone', { zone: 'ssd' }, { zone: 'ssd' }, ['a']],
    ['no room in the books', { fits: false }, {}, ['b']],
    ['a forced host', {}, { forcedHost: 'a' }, ['a']],
    ['a host that failed', {}, { ignoreHosts: ['a'] }, ['b']],
    [
      'an aggregate of the flavor',
      { aggregates: [aggregate({ ssd: 'true' })] },
      { flavor: flavorSpec({ extraSpecs: { ssd: 'true' } }) },
      ['a'],
    ],
    ['one of several values', { aggregates: [aggregate({ rack: '1, 2' })] }, { flavor: flavorSpec({ extraSpecs: { rack: '2' } }) }, ['a']],
    ['other scopes are not looked at', {}, { flavor: flavorSpec({ extraSpecs: { 'hw:cpu_policy': 'dedicated' } }) }, ['a', 'b']],
    ['a capability', {}, { flavor: flavorSpec({ extraSpecs: { 'capabilities:cpu_info.features': '<in> avx512' } }) }, []],
    ['an architecture', {}, { image: image({ hw_architecture: 'aarch64' }) }, []],
    ['the right architecture', {}, { image: image({ hw_architecture: 'x86_64', img_hv_type: 'kvm' }) }, ['a', 'b']],
    ['anti-affinity', { groupMembers: 1 }, { group: { id: 'g', policy: 'anti-affinity', maxPerHost: 1 } }, ['b']],
    ['anti-affinity with two a host', { groupMembers: 1 }, { group: { id: 'g', policy: 'anti-affinity', maxPerHost: 2 } }, ['a', 'b']],
    ['affinity', { groupMembers: 1 }, { group: { id: 'g', policy: 'affinity', maxPerHost: 1 } }, ['a']],
    ['affinity of the first', {}, { group: { id: 'g', policy: 'affinity', maxPerHost: 1 } }, ['a', 'b']],
    ['the same host', { hinted: ['x'] }, { hints: { same_host: 'x' } }, ['a']],
    ['a different host', { hinted: ['x'] }, { hints: { different_host: ['x', 'y'] } }, ['b']],
    ['too much I/O', { ioOps: 8, limits: { ioOps: 8, servers: 50 } }, {}, ['b']],
    ['too many servers', { servers: 50, limits: { ioOps: 8, servers: 50 } }, {}, ['b']],
    ['a query', { free: { vcpus: 8, memoryMiB: 100, diskGiB: 1 } }, { hints: { query: '[">=", "$free_ram_mb", 1024]' } }, ['b']],
  ]
  for (const [name, host, wish, expected] of cases) test(name, () => assert.deepEqual(left(hosts(host), wish), expected))

  test('why not, in words', () => {
    const poor = candidate('c', {
      aggregates: [aggregate({ ssd: 'true' })],
      fits: false,
      free: { vcpus: 8, memoryMiB: 512, diskGiB: 100 },
    })
    const { rounds } = filterHosts([candidate('a'), candidate('b'), poor], spec({ flavor: flavorSpec({ extraSpecs: { ssd: 'true' } }) }))
    assert.match(
      whyNot(3, rounds),
      /^3 hosts, 2 lack ssd=true, 1 has 512 MiB free of 2048 \(.*AggregateInstanceExtraSpecsFilter 3>1, .*Placement 1>0\)$/,
    )
    assert.match(whyNot(0, []), /is a host process running/)
  })
})

test('weighers: the emptier host comes first, busy ones and, softly, those with members of the group later', () => {
  const full = candidate('full', { free: { vcpus: 1, memoryMiB: 100, diskGiB: 1 } })
  const order = (hosts: Candidate[], policy: string | null = null) => weighHosts(hosts, policy).map((one) => one.host)
  assert.deepEqual(order([full, candidate('empty')]), ['empty', 'full'])
  assert.deepEqual(order([candidate('busy', { ioOps: 5 }), candidate('calm')]), ['calm', 'busy'])
  const near = candidate('near', { groupMembers: 2 })
  assert.deepEqual(order([candidate('far'), near], 'soft-affinity'), ['near', 'far'])
  assert.deepEqual(order([near, candidate('far')], 'soft-anti-affinity'), ['far', 'near'])
  assert.deepEqual(order([]), [])
})

test('extra specs: each operator', () => {
  const yes: [string, string][] = [
    ['5', '>= 4'],
    ['5', '= 4'],
    ['4', '== 4.0'],
    ['4', '!= 5'],
    ['3', '<= 3'],
    ['2', '< 3'],
    ['10', '> 9'],
    ['b', 's== b'],
    ['b', 's!= a'],
    ['b', 's> a'],
    ['a', 's< b'],
    ['a', 's<= a'],
    ['a', 's>= a'],
    ['avx sse', '<in> sse'],
    ['avx sse', '<all-in> avx sse'],
    ['b', '<or> a <or> b'],
    ['true', 'true'],
  ]
  for (const [value, requirement] of yes) assert.ok(matchesSpec(value, requirement), `${value} ${requirement}`)
  const no: [string, string][] = [
    ['3', '>= 4'],
    ['x', '>= 4'],
    ['avx', '<all-in> avx sse'],
    ['c', '<or> a <or> b'],
    ['True', 'true'],
  ]
  for (const [value, requirement] of no) assert.ok(!matchesSpec(value, requirement), `${value} ${requirement}`)
})

test('JsonFilter: its little language, and what is none of it', () => {
  const resolve = (name: string) => ({ free_ram_mb: 1024, host: 'a' })[name as 'host']
  const says = (query: unknown) => holds(parseQuery(JSON.stringify(query))!, resolve)
  assert.ok(says(['and', ['>=', '$free_ram_mb', 1024], ['=', '$host', 'a']]))
  assert.ok(says(['or', ['<', '$free_ram_mb', 1], ['in', '$host', 'b', 'a']]))
  assert.ok(says(['not', ['=', '$host', 'b']]))
  assert.ok(!says(['>', '$free_ram_mb', 1024]))
  assert.ok(!says(['=', '$nothing', 'a']))
  for (const wrong of ['[', '7', '[]', '["constructor", 1]', '["and", ["dance"]]'])
    assert.throws(() => parseQuery(wrong), { status: 400 }, wrong)
  assert.equal(parseQuery(undefined), null)
})

test('what placement is asked for: swap is disk, a root disk on a volume is not', () => {
  const flavor = flavorSpec({ rootGiB: 10, ephemeralGiB: 2, swapMiB: 1025 })
  assert.deepEqual(resourcesOf(flavor, false), { VCPU: 1, MEMORY_MB: 512, DISK_GB: 14 })
  assert.deepEqual(resourcesOf(flavorSpec({ rootGiB: 10 }), true), { VCPU: 1, MEMORY_MB: 512 })
})
