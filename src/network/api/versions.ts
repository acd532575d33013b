import type { Route } from '../../kernel/http/route.ts'
import { ResourcesAnswer, VersionsAnswer } from './answers.ts'

const why = { open: 'clients discover the API before they have a token' }

/** Discovery: what versions there are, below `/network`. */
export const versionRoutes = (root: string): Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'List the API versions',
    policy: why,
    response: VersionsAnswer,
    handler: (request) => ({
      versions: [{ id: 'v2.0', status: 'CURRENT', links: [{ rel: 'self', href: new URL(`${root}/v2.0/`, request.link('/')).href }] }],
    }),
  },
]

const RESOURCES = ['networks', 'subnets', 'ports', 'routers', 'floatingips', 'security-groups', 'security-group-rules', 'agents', 'quotas']

/** What there is at the version's own root. */
export const rootRoutes = (): Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'List the resources of this version',
    policy: why,
    response: ResourcesAnswer,
    handler: (request) => ({
      resources: RESOURCES.map((collection) => ({
        name: collection.replace(/s$/, '').replaceAll('-', '_'),
        collection: collection.replaceAll('-', '_'),
        links: [{ rel: 'self', href: request.link(`/${collection}`) }],
      })),
    }),
  },
]
