import Type from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { Shown, Version, VersionWithMedia } from './answers.ts'
import { extensionRoutes } from './extensions.ts'

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
  ...extensionRoutes,
]
