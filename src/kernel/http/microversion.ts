import { Fault } from '../errors/errors.ts'

/** A service's microversions, e.g. compute 2.1 to 2.93, and how a client asks for one. */
export interface Microversions {
  /** The word in `OpenStack-API-Version: compute 2.93`. */
  service: string
  min: string
  max: string
  /** The older header, e.g. `X-OpenStack-Nova-API-Version`. */
  legacyHeader?: string
}

export class Version {
  readonly major: number
  readonly minor: number
  constructor(major: number, minor: number) {
    this.major = major
    this.minor = minor
  }
  static parse(text: string): Version | null {
    const match = /^(\d+)\.(\d+)$/.exec(text)
    return match ? new Version(Number(match[1]), Number(match[2])) : null
  }
  /** `version.atLeast('2.47')` */
  atLeast(other: string): boolean {
    return compare(this, known(other)) >= 0
  }
  atMost(other: string): boolean {
    return compare(this, known(other)) <= 0
  }
  toString(): string {
    return `${this.major}.${this.minor}`
  }
}

/** Of those that the code names: each is read once. */
const named = new Map<string, Version>()
function known(text: string): Version {
  const version = named.get(text) ?? Version.parse(text)!
  named.set(text, version)
  return version
}

const compare = (a: Version, b: Version) => a.major - b.major || a.minor - b.minor

/**
 * The version that the request's headers ask for; without one, the minimum.
 * @throws Fault 400 for a malformed header, 406 for a version that is not offered
 */
export function negotiate(offered: Microversions, headers: Record<string, string | string[] | undefined>): Version {
  const asked = requested(offered, headers)
  if (asked === undefined) return Version.parse(offered.min)!
  if (asked === 'latest') return Version.parse(offered.max)!
  const version = Version.parse(asked)
  if (!version)
    throw new Fault(
      400,
      'InvalidAPIVersionString',
      `API Version String ${asked} is of invalid format. Must be of format MajorNum.MinorNum.`,
    )
  if (!version.atLeast(offered.min) || !version.atMost(offered.max))
    throw new Fault(
      406,
      'InvalidGlobalAPIVersion',
      `Version ${asked} is not supported by the API. Minimum is ${offered.min} and maximum is ${offered.max}.`,
      {
        details: { min_version: offered.min, max_version: offered.max },
      },
    )
  return version
}

function requested(offered: Microversions, headers: Record<string, string | string[] | undefined>): string | undefined {
  const modern = [headers['openstack-api-version'] ?? []].flat().join(',')
  for (const item of modern.split(',')) {
    const [service, version] = item.trim().split(/\s+/)
    if (service?.toLowerCase() === offered.service && version) return version.toLowerCase()
  }
  const legacy = offered.legacyHeader && headers[offered.legacyHeader.toLowerCase()]
  return legacy ? String(legacy).trim().toLowerCase() : undefined
}
