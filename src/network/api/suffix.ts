import type { ApiRequest, Route } from '../../kernel/http/route.ts'

const SUFFIX = '.json'

/** The older clients end every address with `.json`: such addresses lead to the same routes. */
export function withSuffix(routes: Route[]): Route[] {
  return routes.flatMap((route) => {
    if (route.path === '/' || route.path.endsWith('/:tag')) return [route]
    if (!route.path.endsWith('/:id')) return [route, { ...route, path: `${route.path}${SUFFIX}` }]
    const bare = (request: ApiRequest) => {
      const { id } = request.params
      if (id?.endsWith(SUFFIX)) request.params.id = id.slice(0, -SUFFIX.length)
      return request
    }
    const { target } = route
    return [
      {
        ...route,
        ...(target ? { target: (request: ApiRequest) => target(bare(request)) } : {}),
        handler: (request: ApiRequest) => route.handler(bare(request)),
      },
    ]
  })
}
