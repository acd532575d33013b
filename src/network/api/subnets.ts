import type { Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { createSubnets, deleteSubnet, subnetNoun, updateSubnet } from '../app/subnets.ts'
import { networkOwner } from './network-owner.ts'
import { resource } from './resource.ts'
import { bodies } from './schemas.ts'
import { subnetView } from './views.ts'

export const subnetRoutes = (context: NetworkContext): Route[] =>
  resource({
    context,
    noun: subnetNoun,
    path: 'subnets',
    view: subnetView,
    schema: bodies.subnet,
    target: networkOwner(context),
    create: (viewer, documents) => createSubnets(context, viewer, documents),
    update: (_viewer, subnet, document) => updateSubnet(context, subnet, document),
    remove: (_viewer, subnet) => deleteSubnet(context, subnet),
  })
