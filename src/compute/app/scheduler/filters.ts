import { matchesSpec } from './extra-specs.ts'
import { type Candidate, hintList } from './host-states.ts'
import { holds, parseQuery } from './json-filter.ts'
import type { RequestSpec } from './request-spec.ts'
import type { FilterName, SchedulerSettings } from './settings.ts'

/** Null if the host may have the server, else why not, in words that fit after a number of hosts: "2 lack ssd=true". `all`: those before any filter. */
export type Filter = (host: Candidate, spec: RequestSpec, all: Candidate[]) => string | null

const forced: Filter = (host, spec) => {
  if (spec.forcedHost && host.host !== spec.forcedHost) return `are not ${spec.forcedHost}`
  if (spec.forcedNode && host.node !== spec.forcedNode) return `are not node ${spec.forcedNode}`
  return spec.ignoreHosts.includes(host.host) ? 'have failed to build it' : null
}

const availabilityZone: Filter = (host, spec) => (spec.zone && spec.zone !== host.zone ? `in zone ${host.zone}, not ${spec.zone}` : null)

const compute: Filter = (host) => {
  if (!host.enabled) return `disabled${host.disabledReason ? ` (${host.disabledReason})` : ''}`
  return host.up ? null : `down (${host.host} silent for ${host.silentS} s)`
}

/** What placement has no room for: only what it says counts, the reports tell how near it was. */
const placement: Filter = (host, spec) => {
  if (host.fits) return null
  const { VCPU = 0, MEMORY_MB = 0, DISK_GB = 0 } = spec.resources
  if (host.free.memoryMiB < MEMORY_MB) return `have ${host.free.memoryMiB} MiB free of ${MEMORY_MB}`
  if (host.free.vcpus < VCPU) return `have ${host.free.vcpus} VCPU free of ${VCPU}`
  if (host.free.diskGiB < DISK_GB) return `have ${host.free.diskGiB} GiB of disk free of ${DISK_GB}`
  return `have no room for ${Object.entries(spec.resources)
    .map(([name, amount]) => `${amount} ${name}`)
    .join(', ')}`
}

const CAPABILITIES = 'capabilities:'

/** `capabilities:cpu_model=...`, with dots into what the host reports; a key without a scope where the host has such a capability. */
const capabilities: Filter = (host, spec) => {
  for (const [key, requirement] of Object.entries(spec.flavor.extraSpecs)) {
    const scoped = key.startsWith(CAPABILITIES)
    if (!scoped && key.includes(':')) continue
    const name = scoped ? key.slice(CAPABILITIES.length) : key
    const value = capabilityOf(host, name)
    if (value === undefined && !scoped) continue
    if (value === undefined || !matchesSpec(String(value), requirement)) return `lack capability ${name}=${requirement}`
  }
  return null
}

function capabilityOf(host: Candidate, name: string): unknown {
  const { state } = host
  const known: Record<string, unknown> = {
    hypervisor_type: state.hypervisorType,
    hypervisor_version: state.hypervisorVersion,
    hypervisor_hostname: state.hypervisorHostname,
    host: host.host,
    cpu_model: state.cpuModel,
    'cpu_info.model': state.cpuModel,
    'cpu_info.features': state.cpuFeatures.join(' '),
    vcpus_total: state.vcpus,
    vcpus_used: state.vcpusUsed,
    total_usable_ram_mb: state.memoryMiB,
    free_ram_mb: host.free.memoryMiB,
    total_usable_disk_gb: state.diskGiB,
    free_disk_mb: host.free.diskGiB * 1024,
    num_instances: host.servers,
    num_io_ops: host.ioOps,
    kvm: state.kvm,
  }
  return known[name]
}

const imageProperties: Filter = (host, spec) => {
  const properties = spec.image?.properties ?? {}
  const [arch, hypervisor, mode] = [
    properties.hw_architecture ?? properties.architecture,
    properties.img_hv_type ?? properties.hypervisor_type,
    properties.hw_vm_mode ?? properties.vm_mode,
  ].map((word) => word?.toLowerCase())
  if (!arch && !hypervisor && !mode) return null
  const fits = host.state.supportedInstances.some(
    ([hasArch, hasHypervisor, hasMode]) =>
      (!arch || hasArch === arch) && (!hypervisor || hasHypervisor === hypervisor) && (!mode || hasMode === mode),
  )
  return fits ? null : `cannot run ${[arch, hypervisor, mode].filter(Boolean).join(' ')}`
}

const AGGREGATE = 'aggregate_instance_extra_specs:'

/** The words of a host's aggregates under a key, which may name several: `1, 2`. */
const aggregateWords = (host: Candidate, belongs: (key: string) => boolean): string[] =>
  host.aggregates.flatMap(({ metadata }) =>
    Object.keys(metadata)
      .flatMap((key) => (belongs(key) ? metadata[key]!.split(',').map((word) => word.trim()) : []))
      .filter(Boolean),
  )

/** Keys of the flavor without a scope, or with this filter's, must be met by an aggregate of the host. */
const aggregateExtraSpecs: Filter = (host, spec) => {
  for (const [key, requirement] of Object.entries(spec.flavor.extraSpecs)) {
    if (key.includes(':') && !key.startsWith(AGGREGATE)) continue
    const name = key.replace(AGGREGATE, '')
    if (!aggregateWords(host, (own) => own === name).some((value) => matchesSpec(value, requirement))) return `lack ${name}=${requirement}`
  }
  return null
}

/** Hosts of aggregates with `filter_tenant_id` (or `filter_tenant_id…`, for many) are for these projects alone. */
const multiTenancy: Filter = (host, { projectId }) => {
  const projects = aggregateWords(host, (key) => key.startsWith('filter_tenant_id'))
  return projects.length === 0 || projects.includes(projectId) ? null : 'are for other projects'
}

/** Hosts of aggregates with `instance_type` are for these flavors alone. */
const typeAffinity: Filter = (host, { flavor }) => {
  const names = aggregateWords(host, (key) => key === 'instance_type')
  return names.length === 0 || names.includes(flavor.name) ? null : `are not for flavor ${flavor.name}`
}

const json: Filter = (host, spec) => {
  const query = parseQuery(spec.hints.query)
  return !query || holds(query, (name) => capabilityOf(host, name) as string | undefined) ? null : `do not satisfy ${JSON.stringify(query)}`
}

const antiAffinity: Filter = (host, { group }) => {
  if (group?.policy !== 'anti-affinity' || host.groupMembers < group.maxPerHost) return null
  return 'already have a server of the anti-affinity group'
}

/** The hosts of the group's members, or any for the first. */
const affinity: Filter = (host, { group }, all) =>
  group?.policy !== 'affinity' || host.groupMembers > 0 || all.every((one) => one.groupMembers === 0)
    ? null
    : 'have no server of the affinity group'

const sameHost: Filter = (host, { hints }) => {
  const wanted = hintList(hints.same_host)
  return wanted.length === 0 || wanted.some((id) => host.hinted.includes(id)) ? null : `do not have server ${wanted.join(', ')}`
}

const differentHost: Filter = (host, { hints }) => {
  const unwanted = hintList(hints.different_host).filter((id) => host.hinted.includes(id))
  return unwanted.length === 0 ? null : `have server ${unwanted.join(', ')}`
}

const ioOps =
  (limitOf: (host: Candidate) => number): Filter =>
  (host) => {
    const limit = limitOf(host)
    return host.ioOps < limit ? null : `have ${limit} or more builds, resizes and snapshots under way`
  }

const numInstances =
  (limitOf: (host: Candidate) => number): Filter =>
  (host) => {
    const limit = limitOf(host)
    return host.servers < limit ? null : `have ${limit} or more servers`
  }

/** The lowest that an aggregate of the host says, else the operator's. */
const ofAggregates =
  (key: string, setting: number) =>
  (host: Candidate): number => {
    const given = host.aggregates.map((one) => Number(one.metadata[key] ?? Number.NaN)).filter((value) => !Number.isNaN(value))
    return given.length > 0 ? Math.min(...given) : setting
  }

type Limits = Pick<SchedulerSettings, 'maxIoOpsPerHost' | 'maxInstancesPerHost'>

const filtersWith = ({ maxIoOpsPerHost, maxInstancesPerHost }: Limits): Record<FilterName, Filter> => ({
  AggregateInstanceExtraSpecsFilter: aggregateExtraSpecs,
  AggregateIoOpsFilter: ioOps(ofAggregates('max_io_ops_per_host', maxIoOpsPerHost)),
  AggregateMultiTenancyIsolation: multiTenancy,
  AggregateNumInstancesFilter: numInstances(ofAggregates('max_instances_per_host', maxInstancesPerHost)),
  AggregateTypeAffinityFilter: typeAffinity,
  AllHostsFilter: () => null,
  AvailabilityZoneFilter: availabilityZone,
  ComputeCapabilitiesFilter: capabilities,
  ComputeFilter: compute,
  DifferentHostFilter: differentHost,
  ImagePropertiesFilter: imageProperties,
  IoOpsFilter: ioOps(() => maxIoOpsPerHost),
  JsonFilter: json,
  NumInstancesFilter: numInstances(() => maxInstancesPerHost),
  SameHostFilter: sameHost,
  ServerGroupAffinityFilter: affinity,
  ServerGroupAntiAffinityFilter: antiAffinity,
})

type Named = [name: string, filter: Filter]

/** In the order in which they are asked: each sees what those before it left. The zone and placement's room are asked whatever the operator names. */
export function filtersOf(settings: Limits & Pick<SchedulerSettings, 'enabledFilters'>): Named[] {
  const known = filtersWith(settings)
  const enabled = settings.enabledFilters.map((name): Named => [name, known[name]])
  return [['AvailabilityZone', availabilityZone], ...enabled, ['Placement', placement]]
}

export interface Round {
  filter: string
  before: number
  after: number
  /** Why → how many hosts. */
  reasons: Record<string, number>
}

/** Step 13. */
export function filterHosts(hosts: Candidate[], spec: RequestSpec, filters: Named[]): { left: Candidate[]; rounds: Round[] } {
  const rounds: Round[] = []
  let left = hosts
  const named = spec.forcedHost || spec.forcedNode || spec.ignoreHosts.length > 0
  for (const [name, filter] of named ? [['ForcedHost', forced] as Named, ...filters] : filters) {
    const reasons: Record<string, number> = {}
    const after = left.filter((host) => {
      const reason = filter(host, spec, hosts)
      if (reason !== null) reasons[reason] = (reasons[reason] ?? 0) + 1
      return reason === null
    })
    rounds.push({ filter: name, before: left.length, after: after.length, reasons })
    left = after
    if (left.length === 0) break
  }
  return { left, rounds }
}

/** "3 hosts, 2 lack ssd=true, 1 have 512 MiB free of 2048 (…Filter 3>1, Placement 1>0)" */
export function whyNot(total: number, rounds: Round[]): string {
  if (total === 0) return 'no compute host has reported yet: is a host process running?'
  const reasons = rounds.flatMap((round) => Object.entries(round.reasons).map(([why, n]) => `${n} ${n === 1 ? singular(why) : why}`))
  const path = rounds.map((round) => `${round.filter} ${round.before}>${round.after}`).join(', ')
  return `${total} host${total === 1 ? '' : 's'}, ${reasons.join(', ')} (${path})`
}

const singular = (why: string) =>
  why
    .replace(/^have /, 'has ')
    .replace(/^lack /, 'lacks ')
    .replace(/^are /, 'is ')
    .replace(/^do /, 'does ')
