import type { ApiRequest } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { networkNoun } from '../app/networks.ts'
import { seeRows } from '../app/noun.ts'
import { viewerOf } from './request.ts'

const EVERYTHING = { projectId: '', isAdmin: true }

/** What rules look at of the networks that documents stand in. @throws Fault 404 for a new document in a network that the caller does not see */
export const networkOwner = (context: NetworkContext) => async (request: ApiRequest, of: Record<string, any>[]) => {
  const viewer = request.method === 'POST' ? viewerOf(request) : EVERYTHING
  const ids = of.map((one) => String(one.network_id))
  const networks = await seeRows(context.database.db, networkNoun, viewer, ids)
  return ids.map((id) => ({ 'network:project_id': networks.get(id)!.project_id, 'network:shared': networks.get(id)!.shared === 1 }))
}
