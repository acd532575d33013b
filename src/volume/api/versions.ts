import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { Versions } from './answers.ts'

export const MICROVERSIONS = { service: 'volume', min: '3.0', max: '3.70' }

/** Discovery, open to everybody: at the root with status 300, as Cinder does, and at the version itself. */
export const versionRoutes = (root: string, status: 200 | 300): Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'List the API versions',
    policy: { open: 'clients discover the API before they have a token' },
    response: Versions,
    handler: (request) => new Reply(versions(request, root), { status }),
  },
]

const versions = (request: ApiRequest, root: string) => ({
  versions: [
    {
      id: 'v3.0',
      status: 'CURRENT',
      version: MICROVERSIONS.max,
      min_version: MICROVERSIONS.min,
      updated: '2022-08-31T00:00:00Z',
      links: [
        { rel: 'self', href: new URL(`${root}/v3/`, request.link('/')).href },
        { rel: 'describedby', type: 'text/html', href: 'https://docs.openstack.org/' },
      ],
      'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.volume+json;version=3' }],
    },
  ],
})
