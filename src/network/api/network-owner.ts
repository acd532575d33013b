import type { ApiRequest } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { networkNoun } from '../app/networks.ts'
import { see } from '../app/noun.ts'
import { viewerOf } from './request.ts'

const EVERYTHING = { projectId: '', isAdmin: true }

/** What rules look at of the network that a document stands in. @throws Fault 404 for a new document in a network that the caller does not see */
export const networkOwner = (context: NetworkContext) => async (request: ApiRequest, of: Record<string, any>) => {
  const viewer = request.method === 'POST' ? viewerOf(request) : EVERYTHING
  const network = await see(context, networkNoun, viewer, String(of.network_id))
  return { 'network:project_id': network.project_id, 'network:shared': network.shared === 1 }
}
