import Type from 'typebox'
import type { Route } from '../../kernel/http/route.ts'
import { availabilities } from '../app/availability.ts'
import type { NetworkContext } from '../app/context.ts'
import { networkNoun } from '../app/networks.ts'
import { many, one, Zone } from './answers.ts'
import { filteredBy, shown } from './request.ts'
import { itemTarget, seen } from './seen.ts'

const ATTRIBUTES = ['network_id', 'network_name', 'project_id', 'tenant_id'] as const

/** What is there once for the whole cloud, and how many addresses are left. */
export function zoneRoutes(context: NetworkContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/availability_zones',
      doc: 'List the availability zones of networks and routers',
      policy: 'get_availability_zone',
      response: Type.Object({ availability_zones: Type.Array(Zone) }),
      handler: () => ({ availability_zones: ['network', 'router'].map((resource) => ({ name: 'nova', resource, state: 'available' })) }),
    },
    {
      method: 'GET',
      path: '/service-providers',
      doc: 'List providers of further services: none',
      policy: 'get_service_provider',
      response: Type.Object({ service_providers: Type.Array(Type.Never()) }),
      handler: () => ({ service_providers: [] }),
    },
    {
      method: 'GET',
      path: '/network-ip-availabilities',
      doc: 'Show how many addresses of each network are in use',
      policy: 'get_network_ip_availability',
      query: filteredBy(ATTRIBUTES),
      response: many('network_ip_availabilities', 'network_ip_availability'),
      async handler(request) {
        const wanted = (name: string) => [request.query[name] ?? []].flat().map(String)
        const fits = (name: string, value: unknown) => wanted(name).length === 0 || wanted(name).includes(String(value))
        const all = await availabilities(context)
        const some = all.filter((one) => ATTRIBUTES.every((name) => fits(name, one[name])))
        return { network_ip_availabilities: some.map((one) => shown(request, 'network_ip_availability', one)) }
      },
    },
    {
      method: 'GET',
      path: '/network-ip-availabilities/:id',
      doc: 'Show how many addresses of a network are in use',
      policy: 'get_network_ip_availability',
      target: itemTarget({ context, noun: networkNoun }),
      response: one('network_ip_availability'),
      async handler(request) {
        const [one] = await availabilities(context, (await seen(context, networkNoun, request)).id)
        return { network_ip_availability: one }
      },
    },
  ]
}
