/** The filters that an operator may turn on. */
export const FILTER_NAMES = [
  'AggregateInstanceExtraSpecsFilter',
  'AggregateIoOpsFilter',
  'AggregateMultiTenancyIsolation',
  'AggregateNumInstancesFilter',
  'AggregateTypeAffinityFilter',
  'AllHostsFilter',
  'AvailabilityZoneFilter',
  'ComputeCapabilitiesFilter',
  'ComputeFilter',
  'DifferentHostFilter',
  'ImagePropertiesFilter',
  'IoOpsFilter',
  'JsonFilter',
  'NumInstancesFilter',
  'SameHostFilter',
  'ServerGroupAffinityFilter',
  'ServerGroupAntiAffinityFilter',
] as const

export type FilterName = (typeof FILTER_NAMES)[number]

/** Nova's [scheduler] and [filter_scheduler]. An aggregate's metadata have the word on its hosts for what is named `…Multiplier` here (`ram_weight_multiplier`, …). */
export interface SchedulerSettings {
  /** Asked in this order. Named hosts, zones and placement's books count whatever is named here. */
  enabledFilters: FilterName[]
  /** Hosts on which a build is tried. */
  maxAttempts: number
  /** One of so many best hosts is drawn. */
  hostSubsetSize: number
  /** Whether the best of equal weight are put in an order by lot; else they stay in that of the hosts. */
  shuffleBestSameWeighedHosts: boolean
  ramWeightMultiplier: number
  cpuWeightMultiplier: number
  diskWeightMultiplier: number
  ioOpsWeightMultiplier: number
  softAffinityWeightMultiplier: number
  softAntiAffinityWeightMultiplier: number
  /** What IoOpsFilter and NumInstancesFilter allow a host; AggregateIoOpsFilter and AggregateNumInstancesFilter where its aggregates say nothing. */
  maxIoOpsPerHost: number
  maxInstancesPerHost: number
}

/** Nova's, but equals share: servers that are made at once do not all go for the same host. */
export const SCHEDULER_DEFAULTS: SchedulerSettings = {
  enabledFilters: [
    'ComputeFilter',
    'ComputeCapabilitiesFilter',
    'ImagePropertiesFilter',
    'ServerGroupAntiAffinityFilter',
    'ServerGroupAffinityFilter',
  ],
  maxAttempts: 3,
  hostSubsetSize: 1,
  shuffleBestSameWeighedHosts: true,
  ramWeightMultiplier: 1,
  cpuWeightMultiplier: 1,
  diskWeightMultiplier: 1,
  ioOpsWeightMultiplier: -1,
  softAffinityWeightMultiplier: 1,
  softAntiAffinityWeightMultiplier: 1,
  maxIoOpsPerHost: 8,
  maxInstancesPerHost: 50,
}

/** What is wrong with it, in words, or null. */
export function wrongIn(settings: SchedulerSettings): string | null {
  for (const name of Object.keys(settings))
    if (!(name in SCHEDULER_DEFAULTS)) return `unknown setting "${name}" (known: ${Object.keys(SCHEDULER_DEFAULTS).join(', ')})`
  if (!Array.isArray(settings.enabledFilters)) return 'enabledFilters: a list of names is needed'
  for (const name of settings.enabledFilters)
    if (!FILTER_NAMES.includes(name)) return `enabledFilters: there is no filter "${name}" (there are: ${FILTER_NAMES.join(', ')})`
  if (typeof settings.shuffleBestSameWeighedHosts !== 'boolean') return 'shuffleBestSameWeighedHosts: true or false'
  const { maxAttempts, hostSubsetSize, maxInstancesPerHost, maxIoOpsPerHost } = settings
  const counts = { maxAttempts, hostSubsetSize, maxInstancesPerHost, maxIoOpsPerHost }
  for (const [name, value] of Object.entries(counts)) {
    const least = name === 'maxIoOpsPerHost' ? 0 : 1
    if (!Number.isInteger(value) || value < least) return `${name}: a whole number from ${least} on is needed, not ${value}`
  }
  for (const [name, value] of Object.entries(settings))
    if (name.endsWith('Multiplier') && !Number.isFinite(value)) return `${name}: a number is needed, not ${value}`
  const { softAffinityWeightMultiplier, softAntiAffinityWeightMultiplier } = settings
  if (softAffinityWeightMultiplier < 0 || softAntiAffinityWeightMultiplier < 0)
    return 'softAffinityWeightMultiplier and softAntiAffinityWeightMultiplier: not less than 0'
  return null
}
