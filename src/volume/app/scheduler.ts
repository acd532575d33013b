import { Fault } from '../../kernel/errors/errors.ts'
import type { Properties } from '../db/properties.ts'
import type { Backend } from './backend.ts'

export interface Request {
  sizeGiB: number
  /** Null: any. */
  zone: string | null
  extraSpecs: Properties
  /** Where its snapshot or source lies: it has to be made there. */
  onlyOn: string | null
  /** Tried already. */
  not: string[]
}

export interface Choice {
  /** The best one first. */
  fit: { name: string; freeGiB: number }[]
  asked: number
}

/** Null if the back end passes, else why it does not. */
type Filter = (backend: Backend, request: Request) => string | null

const reserved = ({ state }: Backend) => Math.floor((state.totalGiB * state.reservedPercentage) / 100)

/** GiB that may still be promised. */
export function freeGiB(backend: Backend): number {
  const { state, pendingGiB } = backend
  const free = state.freeGiB - reserved(backend)
  if (!state.thin) return free - pendingGiB
  const promised = (state.totalGiB - reserved(backend)) * state.maxOverSubscription - state.provisionedGiB
  return Math.min(promised, free * state.maxOverSubscription) - pendingGiB
}

const CapacityFilter: Filter = (backend, { sizeGiB }) =>
  freeGiB(backend) >= sizeGiB ? null : `has ${Math.max(0, Math.floor(freeGiB(backend)))} GiB free of the ${sizeGiB} asked for`

const AvailabilityZoneFilter: Filter = ({ state }, { zone }) =>
  zone === null || zone === state.availabilityZone ? null : `is in zone ${state.availabilityZone}, not ${zone}`

const CapabilitiesFilter: Filter = ({ state }, { extraSpecs }) => {
  const has: Record<string, string> = {
    volume_backend_name: /@([^#]*)/.exec(state.name)?.[1] ?? state.name,
    storage_protocol: state.protocol,
    vendor_name: 'Open Source',
    driver: state.driver,
    thin_provisioning_support: state.thin ? 'True' : 'False',
    multiattach: 'True',
  }
  for (const [name, wanted] of Object.entries(extraSpecs)) {
    const scope = name.includes(':') ? name.slice(0, name.indexOf(':')) : 'capabilities'
    if (scope !== 'capabilities') continue
    const capability = name.replace(/^capabilities:/, '')
    const value = has[capability]
    if (value === undefined || !meets(value, wanted)) return `its ${capability} is ${value ?? 'unknown'}, not ${wanted}`
  }
  return null
}

/** The operators of extra specs: `<is> True`, `<in> text`, `s== text`, or the very text. */
function meets(value: string, wanted: string): boolean {
  const [operator, ...rest] = wanted.trim().split(/\s+/)
  const operand = rest.join(' ')
  if (operator === '<is>') return value.toLowerCase() === operand.toLowerCase()
  if (operator === '<in>') return value.includes(operand)
  if (operator === 's==') return value === operand
  if (operator === '<or>') return rest.filter((word) => word !== '<or>').includes(value)
  return value.toLowerCase() === wanted.trim().toLowerCase()
}

const service: Filter = (backend, request) => {
  const { name } = backend.state
  if (request.onlyOn !== null && request.onlyOn !== name) return `does not have what the volume is made from (${request.onlyOn} has)`
  if (request.not.includes(name)) return 'was tried already'
  if (backend.disabled) return `is disabled${backend.disabledReason ? `: ${backend.disabledReason}` : ''}`
  return backend.up ? null : `was last heard of at ${backend.reportedAt}`
}

const FILTERS: [string, Filter][] = [
  ['service', service],
  ['AvailabilityZoneFilter', AvailabilityZoneFilter],
  ['CapabilitiesFilter', CapabilitiesFilter],
  ['CapacityFilter', CapacityFilter],
]

/** Filters, then weighs by free capacity (CapacityWeigher). @throws Fault 400 NoValidBackend saying of each back end why not */
export function choose(backends: Backend[], request: Request): Choice {
  const refused: string[] = []
  const fit = backends.filter((backend) => {
    for (const [name, filter] of FILTERS) {
      const why = filter(backend, request)
      if (why === null) continue
      refused.push(`${backend.state.name} ${why}${name === 'service' ? '' : ` (${name})`}`)
      return false
    }
    return true
  })
  if (fit.length === 0)
    throw new Fault(
      400,
      'NoValidBackend',
      `No valid backend was found. ${refused.length > 0 ? refused.join('; ') : 'No storage host has reported one: is one running?'}`,
      { details: { refused } },
    )
  const weighed = fit.map((backend) => ({ name: backend.state.name, freeGiB: freeGiB(backend) }))
  return { fit: weighed.sort((a, b) => b.freeGiB - a.freeGiB || (a.name < b.name ? -1 : 1)), asked: backends.length }
}
