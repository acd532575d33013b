import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { VersionList, VersionView } from './schemas.ts'

const v3 = (href: string) => ({
  id: 'v3.14',
  status: 'stable',
  updated: '2020-04-07T00:00:00Z',
  links: [{ rel: 'self', href }],
  'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
})
const v2 = (href: string) => ({
  id: 'v2.0',
  status: 'deprecated',
  updated: '2016-08-04T00:00:00Z',
  links: [{ rel: 'self', href }],
  'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v2.0+json' }],
})
const open = { open: 'discovery comes before a token' }

/** Version documents: `/identity` lists, `/identity/v3` and `/identity/v2.0` show themselves. */
export const rootRoutes: Route[] = [
  {
    method: 'GET',
    path: '/',
    doc: 'List the versions of the identity API',
    policy: open,
    response: VersionList,
    status: 300,
    handler: (request: ApiRequest) =>
      new Reply({ versions: { values: [v3(request.link('/v3/')), v2(request.link('/v2.0/'))] } }, { status: 300 }),
  },
]
export const v3Root: Route = {
  method: 'GET',
  path: '/',
  doc: 'Show version 3',
  policy: open,
  response: VersionView,
  handler: (request) => ({ version: v3(request.link('/')) }),
}
export const v2Root: Route = {
  method: 'GET',
  path: '/',
  doc: 'Show version 2.0',
  policy: open,
  response: VersionView,
  handler: (request) => ({ version: v2(request.link('/')) }),
}
