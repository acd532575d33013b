import type { Microversions } from '../../kernel/http/microversion.ts'
import type { Route } from '../../kernel/http/route.ts'
import { VersionList } from './schemas.ts'

export const microversions: Microversions = { service: 'placement', min: '1.0', max: '1.39' }

export const versionRoutes = (): Route[] => [
  {
    method: 'GET',
    path: '/',
    doc: 'Show the API version and its range of microversions',
    policy: { open: 'clients discover the API before they have a token' },
    response: VersionList,
    handler: () => ({
      versions: [
        {
          id: 'v1.0',
          status: 'CURRENT',
          min_version: microversions.min,
          max_version: microversions.max,
          links: [{ rel: 'self', href: '' }],
        },
      ],
    }),
  },
]
