import type { Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { createNetworks, deleteNetwork, networkNoun, updateNetwork } from '../app/networks.ts'
import { resource } from './resource.ts'
import { bodies } from './schemas.ts'
import { networkView } from './views.ts'

export const networkRoutes = (context: NetworkContext): Route[] =>
  resource({
    context,
    noun: networkNoun,
    path: 'networks',
    view: networkView,
    schema: bodies.network,
    create: (viewer, documents) => createNetworks(context, viewer, documents),
    update: (_viewer, network, document) => updateNetwork(context, network, document),
    remove: (_viewer, network) => deleteNetwork(context, network),
  })
