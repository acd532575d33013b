import type { ApiRequest } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { type Noun, see } from '../app/noun.ts'
import { viewerOf } from './request.ts'

export type Target = Record<string, unknown>

interface Owned<D> {
  context: NetworkContext
  noun: Noun<any, D>
  /** More of what policy rules look at than the project, of each. */
  target?: (request: ApiRequest, of: Record<string, any>[]) => Promise<Target[]>
}

const known = new WeakMap<ApiRequest, Promise<any>>()

/** The item that the address names, loaded once for policy and handler. @throws Fault 404 when the caller may not know of it */
export function seen<D>(context: NetworkContext, noun: Noun<any, D>, request: ApiRequest): Promise<D> {
  const loading = known.get(request) ?? see(context, noun, viewerOf(request), request.params.id!)
  known.set(request, loading)
  return loading
}

/** For Route.target: whose the item of the address is. */
export const itemTarget =
  <D>({ context, noun, target }: Owned<D>) =>
  async (request: ApiRequest): Promise<Target> => {
    const item = (await seen(context, noun, request)) as any
    return { project_id: item.project_id, tenant_id: item.project_id, ...(await target?.(request, [item]))?.[0] }
  }
