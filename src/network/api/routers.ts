import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { changeRoutes, createRouters, deleteRouter, type Router, routerNoun, updateRouter } from '../app/router.ts'
import { addInterface, type RouterInterface, removeInterface } from '../app/router-interfaces.ts'
import { InterfaceAnswer, one } from './answers.ts'
import { viewerOf } from './request.ts'
import { resource } from './resource.ts'
import { bodies, InterfaceBody, RoutesBody } from './schemas.ts'
import { itemTarget, seen } from './seen.ts'
import { routerView } from './views.ts'

const interfaceView = (router: Router, { portId, subnetIds, networkId }: RouterInterface) => ({
  id: router.id,
  project_id: router.project_id,
  tenant_id: router.project_id,
  port_id: portId,
  network_id: networkId,
  subnet_id: subnetIds[0],
  subnet_ids: subnetIds,
})

export function routerRoutes(context: NetworkContext): Route[] {
  const target = itemTarget({ context, noun: routerNoun })
  const interfaces = (verb: 'add' | 'remove', doc: string): Route => ({
    method: 'PUT',
    path: `/routers/:id/${verb}_router_interface`,
    doc,
    policy: `${verb}_router_interface`,
    target,
    body: InterfaceBody,
    response: InterfaceAnswer,
    async handler(request: ApiRequest) {
      const router = await seen(context, routerNoun, request)
      const done =
        verb === 'add'
          ? await addInterface(context, viewerOf(request), router, request.body)
          : await removeInterface(context, router, request.body)
      return interfaceView(router, done)
    },
  })
  const extraRoutes = (verb: 'add' | 'remove', doc: string): Route => ({
    method: 'PUT',
    path: `/routers/:id/${verb}_extraroutes`,
    doc,
    policy: `${verb}_extraroutes`,
    target,
    body: RoutesBody,
    response: one('router'),
    handler: async (request: ApiRequest) => ({
      router: routerView(await changeRoutes(context, await seen(context, routerNoun, request), verb, request.body.router.routes)),
    }),
  })
  return [
    ...resource({
      context,
      noun: routerNoun,
      path: 'routers',
      view: routerView,
      schema: bodies.router,
      check(request, verb, { external_gateway_info: gateway }, of) {
        if (gateway?.enable_snat === false) request.enforce(`${verb}_router:external_gateway_info:enable_snat`, of)
        if (gateway?.external_fixed_ips) request.enforce(`${verb}_router:external_gateway_info:external_fixed_ips`, of)
      },
      create: (viewer, documents) => createRouters(context, viewer, documents),
      update: (_viewer, router, document) => updateRouter(context, router, document),
      remove: (_viewer, router) => deleteRouter(context, router),
    }),
    interfaces('add', 'Put a router into a subnet, or behind a port'),
    interfaces('remove', 'Take a router out of a subnet'),
    extraRoutes('add', 'Add routes to those of a router'),
    extraRoutes('remove', 'Take routes of a router away'),
  ]
}
