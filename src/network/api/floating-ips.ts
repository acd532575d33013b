import type { Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { createFloatingIps, deleteFloatingIp, floatingIpNoun, updateFloatingIp } from '../app/floating-ips.ts'
import { resource } from './resource.ts'
import { bodies } from './schemas.ts'
import { floatingIpView } from './views.ts'

export const floatingIpRoutes = (context: NetworkContext): Route[] =>
  resource({
    context,
    noun: floatingIpNoun,
    path: 'floatingips',
    view: floatingIpView,
    schema: bodies.floatingip,
    create: (viewer, documents) => createFloatingIps(context, viewer, documents),
    update: (viewer, floating, document) => updateFloatingIp(context, viewer, floating, document),
    remove: (_viewer, floating) => deleteFloatingIp(context, floating),
  })
