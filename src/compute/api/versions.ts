import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { Extension, Shown, Version, VersionWithMedia } from './answers.ts'

export const MICROVERSIONS = { service: 'compute', min: '2.1', max: '2.93', legacyHeader: 'X-OpenStack-Nova-API-Version' }

/** The API of clients that know no microversions: the first of them, under its old address. */
export const V2 = { ...MICROVERSIONS, max: MICROVERSIONS.min }

/** Whether a client without microversions sees this route. */
export const inFirstVersion = (route: Route) => !route.microversions?.min

const open = { open: 'clients discover the API before they have a token' }

const versionDocument = (href: string, v20 = false) => ({
  id: v20 ? 'v2.0' : 'v2.1',
  status: v20 ? 'SUPPORTED' : 'CURRENT',
  version: v20 ? '' : MICROVERSIONS.max,
  min_version: v20 ? '' : MICROVERSIONS.min,
  updated: v20 ? '2011-01-21T11:33:21Z' : '2013-07-23T11:33:21Z',
  links: [{ rel: 'self', href }],
})

const originOf = (request: ApiRequest) => new URL(request.link('/')).origin

export const rootRoutes: Route[] = [
  {
    method: 'GET',
    path: '/',
    doc: 'List the API versions',
    policy: open,
    response: Shown('versions', Type.Array(Version)),
    handler: (request) => ({
      versions: [versionDocument(`${originOf(request)}/compute/v2/`, true), versionDocument(`${originOf(request)}/compute/v2.1/`)],
    }),
  },
]

const ALIASES: [alias: string, name: string][] = [
  ['os-aggregates', 'Aggregates'],
  ['os-attach-interfaces', 'AttachInterfaces'],
  ['os-availability-zone', 'AvailabilityZone'],
  ['os-console-output', 'ConsoleOutput'],
  ['os-extended-server-attributes', 'ExtendedServerAttributes'],
  ['os-extended-status', 'ExtendedStatus'],
  ['os-extended-volumes', 'ExtendedVolumes'],
  ['os-flavor-access', 'FlavorAccess'],
  ['os-flavor-extra-specs', 'FlavorExtraSpecs'],
  ['os-hosts', 'Hosts'],
  ['os-hypervisors', 'Hypervisors'],
  ['os-instance-actions', 'InstanceActions'],
  ['os-keypairs', 'Keypairs'],
  ['os-personality', 'Personality'],
  ['os-quota-class-sets', 'QuotaClasses'],
  ['os-quota-sets', 'Quotas'],
  ['os-rescue', 'Rescue'],
  ['os-scheduler-hints', 'SchedulerHints'],
  ['os-security-groups', 'SecurityGroups'],
  ['os-server-external-events', 'ServerExternalEvents'],
  ['os-server-groups', 'ServerGroups'],
  ['os-services', 'Services'],
  ['os-simple-tenant-usage', 'SimpleTenantUsage'],
  ['os-suspend-server', 'SuspendServer'],
  ['os-volumes', 'Volumes'],
]

const extension = ([alias, name]: [string, string]) => ({
  alias,
  name,
  description: name,
  links: [],
  namespace: `http://docs.openstack.org/compute/ext/${alias}/api/v2.1`,
  updated: '2014-12-03T00:00:00Z',
})

/** `v20`: below /v2. */
export const versionRoutes = (v20: boolean): Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'Show this API version and its microversions',
    policy: open,
    response: Shown('version', VersionWithMedia),
    handler: (request) => ({
      version: {
        ...versionDocument(request.link('/'), v20),
        'media-types': [{ base: 'application/json', type: `application/vnd.openstack.compute+json;version=${v20 ? '2' : '2.1'}` }],
      },
    }),
  },
  {
    method: 'GET',
    path: '/extensions',
    doc: 'List what old clients call extensions',
    policy: 'os_compute_api:extensions',
    response: Shown('extensions', Type.Array(Extension)),
    handler: () => ({ extensions: ALIASES.map(extension) }),
  },
  {
    method: 'GET',
    path: '/extensions/:alias',
    doc: 'Show one extension',
    policy: 'os_compute_api:extensions',
    response: Shown('extension', Extension),
    handler(request) {
      const found = ALIASES.find(([alias]) => alias === request.params.alias)
      if (!found) throw notFound(`No extension found with name ${request.params.alias}`)
      return { extension: extension(found) }
    },
  },
]
