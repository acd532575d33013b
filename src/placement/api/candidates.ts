import type { Route } from '../../kernel/http/route.ts'
import { candidates } from '../app/candidates.ts'
import type { PlacementContext } from '../app/context.ts'
import { badValue } from '../app/faults.ts'
import { parseRequired, parseWishes } from '../app/query.ts'
import { fresh } from './fresh.ts'
import { CandidatesQuery, CandidatesView } from './schemas.ts'
import { candidatesView } from './views.ts'

const SINCE: [parameter: RegExp, min: string][] = [
  [/^limit$/, '1.16'],
  [/^required$/, '1.17'],
  [/^member_of$/, '1.21'],
  [/^(resources|required|member_of)\d+$/, '1.25'],
  [/^group_policy$/, '1.25'],
  [/^in_tree/, '1.31'],
  [/^(resources|required|member_of)[^\d]/, '1.33'],
  [/^root_required$/, '1.35'],
]

export function candidateRoutes(context: PlacementContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/allocation_candidates',
      doc: 'Find where the resources asked for can be had',
      policy: 'placement:allocation_candidates:list',
      microversions: { min: '1.10' },
      query: CandidatesQuery,
      response: CandidatesView,
      async handler(request) {
        const { query, version } = request
        for (const name of Object.keys(query)) {
          const min = SINCE.find(([parameter]) => parameter.test(name))?.[1]
          if (min && !version.atLeast(min)) throw badValue(`The parameter ${name} needs microversion ${min}.`)
        }
        const allowed = { forbidden: version.atLeast('1.22'), any: version.atLeast('1.39') }
        const wishes = parseWishes(query, allowed)
        if (wishes.filter((wish) => wish.suffix !== '').length > 1 && query.group_policy === undefined)
          throw badValue('The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.')
        const root = parseRequired(query.root_required, { forbidden: true, any: false })
        const found = await candidates(context, {
          wishes,
          limit: query.limit,
          isolate: query.group_policy === 'isolate',
          rootRequired: root.required.flat(),
          rootForbidden: root.forbidden,
          nested: version.atLeast('1.29'),
        })
        const asked = wishes.flatMap((wish) => Object.keys(wish.resources))
        return fresh(request, candidatesView(found, asked, version))
      },
    },
  ]
}
