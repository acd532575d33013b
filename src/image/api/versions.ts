import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { VersionList } from './schemas.ts'

const LATEST = 16

/** Discovery: 300 with all versions, open to everybody, at the root and, for clients whose catalog names a version, there too. */
export const versionRoutes = (root: string): Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'List the API versions',
    policy: { open: 'clients discover the API before they have a token' },
    status: 300,
    response: VersionList,
    handler: (request) => new Reply(versions(request, root), { status: 300 }),
  },
]

function versions(request: ApiRequest, root: string) {
  const href = new URL(`${root}/v2/`, request.link('/')).href
  return {
    versions: Array.from({ length: LATEST + 1 }, (_, i) => LATEST - i).map((minor) => ({
      id: `v2.${minor}`,
      status: minor === LATEST ? 'CURRENT' : 'SUPPORTED',
      links: [{ rel: 'self', href }],
    })),
  }
}
