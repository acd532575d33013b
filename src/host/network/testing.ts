import type { DeviceDetails, Segment } from '../../network/rpc.ts'

/** Ports, networks and routers for tests. */

export const NETWORK = '11111111-aaaa-4bbb-8ccc-000000000001'
export const segment = (over: Partial<Segment> = {}): Segment => ({
  networkId: NETWORK,
  networkType: 'vxlan',
  physicalNetwork: null,
  segmentationId: 100,
  mtu: 1450,
  ...over,
})

/** Port `n` (1 to 9) of the network: 10.1.0.1n, fa:16:3e:00:03:0n. */
export const device = (n: number, over: Partial<DeviceDetails> = {}): DeviceDetails => ({
  portId: `3333330${n}-aaaa-4bbb-8ccc-00000000000${n}`,
  segment: segment(),
  macAddress: `fa:16:3e:00:03:0${n}`,
  fixedIps: [{ subnetId: '55555555-aaaa-4bbb-8ccc-000000000001', address: `10.1.0.1${n}` }],
  allowedAddressPairs: [],
  adminUp: true,
  portSecurity: true,
  securityGroups: [],
  rules: [{ direction: 'egress', etherType: 'IPv4', protocol: null, portMin: null, portMax: null, remotePrefix: null }],
  dhcpServers: ['10.1.0.2'],
  deviceOwner: 'compute:nova',
  deviceId: `77777777-aaaa-4bbb-8ccc-00000000000${n}`,
  bandwidth: { egressKbps: null, ingressKbps: null },
  ...over,
})
