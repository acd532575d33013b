import type { Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { createSubnetPools, deleteSubnetPool, subnetPoolNoun, updateSubnetPool } from '../app/subnet-pools.ts'
import { resource } from './resource.ts'
import { bodies } from './schemas.ts'
import { subnetPoolView } from './views.ts'

export const subnetPoolRoutes = (context: NetworkContext): Route[] =>
  resource({
    context,
    noun: subnetPoolNoun,
    path: 'subnetpools',
    view: subnetPoolView,
    schema: bodies.subnetpool,
    create: (viewer, documents) => createSubnetPools(context, viewer, documents),
    update: (_viewer, pool, document) => updateSubnetPool(context, pool, document),
    remove: (_viewer, pool) => deleteSubnetPool(context, pool),
  })
