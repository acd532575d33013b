import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { flavorSpec } from '../../testing.ts'
import { matchesSpec } from './extra-specs.ts'
import { filterHosts, filtersOf, whyNot } from './filters.ts'
import type { Candidate } from './host-states.ts'
import { holds, parseQuery } from './json-filter.ts'
import { type RequestSpec, resourcesOf } from './request-spec.ts'
import { FILTER_NAMES, type FilterName, SCHEDULER_DEFAULTS, wrongIn } from './settings.ts'
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
const filters = (...enabledFilters: FilterName[]) => filtersOf({ ...SCHEDULER_DEFAULTS, enabledFilters })
const all = filters(...FILTER_NAMES)
const left = (hosts: Candidate[], wish: Partial<RequestSpec>, by = all) => filterHosts(hosts, spec(wish), by).left.map((one) => one.host)

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
    ['too much I/O', { ioOps: 8 }, {}, ['b']],
    ['too much I/O for its aggregate', { ioOps: 2, aggregates: [aggregate({ max_io_ops_per_host: '2' })] }, {}, ['b']],
    ['too many servers', { servers: 50 }, {}, ['b']],
    ['too many servers for its aggregate', { servers: 5, aggregates: [aggregate({ max_instances_per_host: '5' })] }, {}, ['b']],
    ['an aggregate of other projects', { aggregates: [aggregate({ filter_tenant_id: 'x,y' })] }, {}, ['b']],
    ['an aggregate of this project', { aggregates: [aggregate({ filter_tenant_id1: 'x', filter_tenant_id2: 'p' })] }, {}, ['a', 'b']],
    ['an aggregate of other flavors', { aggregates: [aggregate({ instance_type: 'huge' })] }, {}, ['b']],
    ['a capability without a scope', {}, { flavor: flavorSpec({ extraSpecs: { kvm: 'false' } }) }, []],
    ['a query', { free: { vcpus: 8, memoryMiB: 100, diskGiB: 1 } }, { hints: { query: '[">=", "$free_ram_mb", 1024]' } }, ['b']],
  ]
  for (const [name, host, wish, expected] of cases) test(name, () => assert.deepEqual(left(hosts(host), wish), expected))

  test('those that are off are not asked; the zone and placement are, whatever is on', () => {
    const ssd = { flavor: flavorSpec({ extraSpecs: { ssd: 'true' } }) }
    assert.deepEqual(left(hosts({}), ssd), [])
    assert.deepEqual(left(hosts({}), ssd, filtersOf(SCHEDULER_DEFAULTS)), ['a', 'b'])
    assert.deepEqual(left(hosts({ enabled: false }), {}, filters()), ['a', 'b'])
    assert.deepEqual(left(hosts({ fits: false }), {}, filters()), ['b'])
    assert.deepEqual(left(hosts({ zone: 'ssd' }), { zone: 'ssd' }, filters()), ['a'])
  })

  test('they are asked in the order of the configuration', () => {
    const { rounds } = filterHosts(hosts({}), spec(), filters('JsonFilter', 'ComputeFilter'))
    assert.deepEqual(
      rounds.map((one) => one.filter),
      ['AvailabilityZone', 'JsonFilter', 'ComputeFilter', 'Placement'],
    )
  })

  test('why not, in words', () => {
    const poor = candidate('c', {
      aggregates: [aggregate({ ssd: 'true' })],
      fits: false,
      free: { vcpus: 8, memoryMiB: 512, diskGiB: 100 },
    })
    const { rounds } = filterHosts(
      [candidate('a'), candidate('b'), poor],
      spec({ flavor: flavorSpec({ extraSpecs: { ssd: 'true' } }) }),
      all,
    )
    assert.match(
      whyNot(3, rounds),
      /^3 hosts, 2 lack ssd=true, 1 has 512 MiB free of 2048 \(.*AggregateInstanceExtraSpecsFilter 3>1, .*Placement 1>0\)$/,
    )
    assert.match(whyNot(0, []), /is a host process running/)
  })
})

test('weighers: the emptier host comes first, busy ones and, softly, those with members of the group later', () => {
  const full = candidate('full', { free: { vcpus: 1, memoryMiB: 100, diskGiB: 1 } })
  const order = (hosts: Candidate[], policy: string | null = null) => weighHosts(hosts, policy, SCHEDULER_DEFAULTS).map((one) => one.host)
  assert.deepEqual(order([full, candidate('empty')]), ['empty', 'full'])
  assert.deepEqual(order([candidate('busy', { ioOps: 5 }), candidate('calm')]), ['calm', 'busy'])
  const near = candidate('near', { groupMembers: 2 })
  assert.deepEqual(order([candidate('far'), near], 'soft-affinity'), ['near', 'far'])
  assert.deepEqual(order([near, candidate('far')], 'soft-anti-affinity'), ['far', 'near'])
  assert.deepEqual(order([]), [])
})

test('weighers: how much each counts is set, also for the hosts of an aggregate', () => {
  const settings = { ...SCHEDULER_DEFAULTS, cpuWeightMultiplier: 0, diskWeightMultiplier: 0 }
  const full = candidate('full', { free: { vcpus: 8, memoryMiB: 100, diskGiB: 100 } })
  const best = (hosts: Candidate[], own = {}, policy: string | null = null) => weighHosts(hosts, policy, { ...settings, ...own })[0]!
  assert.equal(best([full, candidate('empty')], { ramWeightMultiplier: -1 }).host, 'full')
  const stacks = { ...full, aggregates: [aggregate({ ram_weight_multiplier: '-1' }), aggregate({ ram_weight_multiplier: '2' })] }
  assert.equal(weighHosts([stacks], null, settings)[0]!.weights.ram, -1)
  assert.equal(best([candidate('busy', { ioOps: 5 }), candidate('calm')], { ioOpsWeightMultiplier: 1 }).host, 'busy')
  const near = candidate('near', { groupMembers: 2, ioOps: 5 })
  assert.equal(best([candidate('far'), near], { softAffinityWeightMultiplier: 3 }, 'soft-affinity').host, 'near')
})

test('equals: by lot, or in the order of the hosts; one of the best few', () => {
  const hosts = Array.from({ length: 10 }, (_, i) => candidate(String(i), { free: { vcpus: 8, memoryMiB: i < 5 ? 200 : 100, diskGiB: 1 } }))
  const firsts = (own: object) => {
    const settings = { ...SCHEDULER_DEFAULTS, shuffleBestSameWeighedHosts: false, ...own }
    return new Set(Array.from({ length: 200 }, () => weighHosts(hosts, null, settings)[0]!.host))
  }
  assert.deepEqual([...firsts({})], ['0'])
  assert.deepEqual([...firsts({ shuffleBestSameWeighedHosts: true })].toSorted(), ['0', '1', '2', '3', '4'])
  assert.deepEqual([...firsts({ hostSubsetSize: 3 })].toSorted(), ['0', '1', '2'])
  assert.equal(firsts({ hostSubsetSize: 99 }).size, 10)
  assert.equal(weighHosts(hosts, null, { ...SCHEDULER_DEFAULTS, hostSubsetSize: 3 }).length, 10)
  assert.deepEqual(weighHosts([], null, { ...SCHEDULER_DEFAULTS, hostSubsetSize: 3 }), [])
})

test('settings: what is wrong is told, and what there is', () => {
  const wrong = (own: object) => wrongIn({ ...SCHEDULER_DEFAULTS, ...own })
  assert.equal(wrong({}), null)
  assert.equal(wrong({ enabledFilters: [...FILTER_NAMES], ramWeightMultiplier: -0.5, maxIoOpsPerHost: 0 }), null)
  assert.match(wrong({ enabledFilters: ['RamFilter'] })!, /no filter "RamFilter" \(there are: .*ComputeFilter.*JsonFilter/)
  assert.match(wrong({ enabledFilters: 'ComputeFilter' })!, /list/)
  assert.match(wrong({ ramWeight: 1 })!, /unknown setting "ramWeight" .*ramWeightMultiplier/)
  assert.match(wrong({ hostSubsetSize: 0 })!, /hostSubsetSize.* from 1/)
  assert.match(wrong({ maxAttempts: 1.5 })!, /maxAttempts/)
  assert.match(wrong({ cpuWeightMultiplier: 'much' })!, /cpuWeightMultiplier: a number/)
  assert.match(wrong({ softAffinityWeightMultiplier: -1 })!, /not less than 0/)
  assert.match(wrong({ shuffleBestSameWeighedHosts: 'yes' })!, /true or false/)
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
