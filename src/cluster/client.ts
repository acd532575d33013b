import { must, type RestTransport } from '../kernel/http/client.ts'

/** What a host can do for the cloud. */
export const HOST_ROLES = ['compute', 'network', 'storage'] as const
export type HostRole = (typeof HOST_ROLES)[number]

export interface Membership {
  host: string
  secret: string
  region: string
  metadataSecret: string
  servicePassword: string
  brokers: string[]
}

/** @throws Fault 401 for a token that is unknown, used or too old */
export const joinCluster = (transport: RestTransport, body: { token: string; host: string; roles: string[] }): Promise<Membership> =>
  must(transport.send({ method: 'POST', path: '/cluster/v1/join', body }))
