/** Names of devices, chains and namespaces, made from ids as Neutron makes them: an operator finds the port of a device by its first eleven characters. */
const head = (portId: string) => portId.slice(0, 11)

export const tapOf = (portId: string) => `tap${head(portId)}`
export const qvoOf = (portId: string) => `qvo${head(portId)}`
export const qvbOf = (portId: string) => `qvb${head(portId)}`
export const qbrOf = (portId: string) => `qbr${head(portId)}`
export const qrOf = (portId: string) => `qr-${head(portId)}`
export const qgOf = (portId: string) => `qg-${head(portId)}`

export const dhcpNamespace = (networkId: string) => `qdhcp-${networkId}`
export const routerNamespace = (routerId: string) => `qrouter-${routerId}`

/** The id of the network or router that a namespace belongs to, if it is one of ours. */
export function namespaceOwner(name: string): { kind: 'network' | 'router'; id: string } | undefined {
  const [, prefix, id] = /^(qdhcp|qrouter)-([0-9a-f-]{36})$/.exec(name) ?? []
  return prefix && id ? { kind: prefix === 'qdhcp' ? 'network' : 'router', id } : undefined
}

/** The first characters of a port's id from one of its devices. */
export const portOfDevice = (device: string): string | undefined =>
  /^(?:tap|qv[ob]|qbr|qr-|qg-)([0-9a-f]{8}-[0-9a-f]{2})$/.exec(device)?.[1]

/** Where the metadata service is looked for by every guest. */
export const METADATA_ADDRESS = '169.254.169.254'
/** Where the proxy in a router's namespace listens; requests to {@link METADATA_ADDRESS} are redirected there. */
export const METADATA_PORT = 9697

/** External ids by which a port in the switch says how fast its guest may be, in kbit/s: to it, and from it. */
export const LIMIT_IDS = { ingress: 'limit-ingress-kbps', egress: 'limit-egress-kbps' } as const
