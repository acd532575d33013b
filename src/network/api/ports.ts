import type { Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { createPorts } from '../app/new-ports.ts'
import { portNoun } from '../app/port.ts'
import { deletePort, updatePort } from '../app/ports.ts'
import { networkOwner } from './network-owner.ts'
import { resource } from './resource.ts'
import { bodies } from './schemas.ts'
import { portView } from './views.ts'

export const portRoutes = (context: NetworkContext): Route[] =>
  resource({
    context,
    noun: portNoun,
    path: 'ports',
    view: portView(context.dnsDomain),
    schema: bodies.port,
    target: networkOwner(context),
    check(request, verb, document, target) {
      if (verb === 'create') request.enforce('create_port:on_network', target)
      if (String(document.device_owner ?? '').startsWith('network:')) request.enforce(`${verb}_port:device_owner:network`, target)
      if (document.fixed_ips?.some((ip: { ip_address?: string }) => ip.ip_address !== undefined))
        request.enforce(`${verb}_port:fixed_ips:ip_address`, target)
    },
    create: (viewer, documents) => createPorts(context, viewer, documents),
    update: (viewer, port, document, revision) => updatePort(context, viewer, port.id, document, revision),
    remove: (_viewer, port) => deletePort(context, port),
  })
