import type { Bus } from '../../kernel/bus/bus.ts'
import {
  control,
  type DeviceDetails,
  type DhcpNetwork,
  type ExternalNetwork,
  NETWORK_CONTROL,
  type Neighbour,
  type RouterDetails,
  type Segment,
} from '../../network/rpc.ts'
import type { Machine } from './machine.ts'
import { qbrOf, qvbOf, qvoOf } from './names.ts'

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
  portId: `${33_333_300 + n}-aaaa-4bbb-8ccc-${String(n).padStart(12, '0')}`,
  segment: segment(),
  macAddress: `fa:16:3e:00:03:${n.toString(16).padStart(2, '0')}`,
  fixedIps: [{ subnetId: '55555555-aaaa-4bbb-8ccc-000000000001', address: `10.1.0.${10 + n}` }],
  allowedAddressPairs: [],
  adminUp: true,
  portSecurity: true,
  securityGroups: [],
  rules: [
    { direction: 'egress', etherType: 'IPv4', protocol: null, portMin: null, portMax: null, remotePrefix: null, remoteGroupId: null },
  ],
  dhcpServers: ['10.1.0.2'],
  deviceOwner: 'compute:nova',
  deviceId: `77777777-aaaa-4bbb-8ccc-${String(n).padStart(12, '0')}`,
  bandwidth: { egressKbps: null, ingressKbps: null },
  host: 'one',
  ...over,
})

export const SUBNET = '55555555-aaaa-4bbb-8ccc-000000000001'
export const ROUTER = '22222222-aaaa-4bbb-8ccc-000000000001'
export const EXTERNAL = '11111111-aaaa-4bbb-8ccc-00000000000e'
export const DHCP_PORT = '44444401-aaaa-4bbb-8ccc-000000000001'
export const QR_PORT = '44444402-aaaa-4bbb-8ccc-000000000002'
export const QG_PORT = '44444403-aaaa-4bbb-8ccc-000000000003'

const externalSegment: Segment = { networkId: EXTERNAL, networkType: 'flat', physicalNetwork: 'public', segmentationId: null, mtu: 1500 }

/** The switch-side details of the ports that control makes for itself. */
const ownPort = (portId: string, deviceOwner: string, mac: string, of: Segment, address: string): DeviceDetails =>
  device(1, {
    portId,
    deviceOwner,
    macAddress: mac,
    segment: of,
    fixedIps: [{ subnetId: SUBNET, address }],
    portSecurity: false,
    rules: [],
  })

export const dhcpNetwork = (guests: DeviceDetails[], over: Partial<DhcpNetwork> = {}): DhcpNetwork => ({
  segment: segment(),
  projectId: 't-1',
  subnets: [{ id: SUBNET, cidr: '10.1.0.0/24', ipVersion: 4, gateway: '10.1.0.1', dnsNameservers: [], hostRoutes: [], enableDhcp: true }],
  dhcpPort: { id: DHCP_PORT, macAddress: 'fa:16:3e:00:01:02', fixedIps: [{ subnetId: SUBNET, address: '10.1.0.2' }] },
  ports: guests.map((guest) => ({
    id: guest.portId,
    createdAt: '2026-01-01T00:00:00.000Z',
    macAddress: guest.macAddress,
    hostname: `host-${guest.fixedIps[0]!.address.replaceAll('.', '-')}`,
    fixedIps: guest.fixedIps,
    extraDhcpOptions: [],
    deviceId: guest.deviceId,
    deviceOwner: guest.deviceOwner,
  })),
  dnsDomain: '',
  isolated: false,
  ...over,
})

export const router = (over: Partial<RouterDetails> = {}): RouterDetails => ({
  id: ROUTER,
  name: 'router1',
  projectId: 't-1',
  adminUp: true,
  enableSnat: true,
  gateway: {
    id: QG_PORT,
    macAddress: 'fa:16:3e:00:02:10',
    segment: externalSegment,
    addresses: [{ address: '172.24.4.10', prefixLength: 24, gateway: '172.24.4.1', subnetId: 'x', advertised: null }],
  },
  interfaces: [
    {
      id: QR_PORT,
      macAddress: 'fa:16:3e:00:01:01',
      segment: segment(),
      addresses: [{ address: '10.1.0.1', prefixLength: 24, gateway: '10.1.0.1', subnetId: SUBNET, advertised: null }],
    },
  ],
  floatingIps: [],
  routes: [],
  awaited: false,
  ...over,
})

export const floatingIp = (n: number, guest: DeviceDetails): RouterDetails['floatingIps'][number] => ({
  id: `66666666-aaaa-4bbb-8ccc-00000000000${n}`,
  floatingAddress: `172.24.4.5${n}`,
  fixedAddress: guest.fixedIps[0]!.address,
  portId: guest.portId,
})

/** Network control as the agent sees it: what should be can be set, and what it is told is kept. */
export class FakeControl {
  devices: DeviceDetails[] = []
  networks: DhcpNetwork[] = []
  routers: RouterDetails[] = []
  external: ExternalNetwork[] = [{ segment: externalSegment, gatewayCidr: '172.24.4.1/24' }]
  endpoints: { host: string; address: string }[] = []
  groups: Record<string, string[]> = {}
  neighbours: Record<string, Neighbour[]> = {}
  readonly up = new Map<string, { localVlan: number; device: string; ofport: number }>()
  readonly told: { name: string; payload: any }[] = []

  constructor(bus: Bus) {
    const tell = (name: string, payload: unknown) => {
      this.told.push({ name, payload })
    }
    bus.serve(NETWORK_CONTROL, control.deviceDetails, ({ portIds }) =>
      [...this.devices, ...this.ownDevices()].filter((each) => portIds.includes(each.portId)),
    )
    bus.serve(NETWORK_CONTROL, control.groupAddresses, ({ groupIds }) =>
      Object.fromEntries(groupIds.map((id) => [id, this.groups[id] ?? []])),
    )
    bus.serve(NETWORK_CONTROL, control.devicesUp, (payload) => {
      tell('up', payload)
      for (const { portId, ...rest } of payload.devices) this.up.set(portId, rest)
    })
    bus.serve(NETWORK_CONTROL, control.devicesDown, (payload) => {
      tell('down', payload)
      for (const portId of payload.portIds) this.up.delete(portId)
    })
    bus.serve(NETWORK_CONTROL, control.dhcpNetworks, () => this.networks)
    bus.serve(NETWORK_CONTROL, control.dhcpPorts, ({ networkId, portIds }) =>
      this.networks.flatMap(({ segment, ports }) =>
        segment.networkId === networkId ? ports.filter(({ id }) => portIds.includes(id)) : [],
      ),
    )
    bus.serve(NETWORK_CONTROL, control.dhcpReady, (payload) => tell('dhcp-ready', payload))
    bus.serve(NETWORK_CONTROL, control.leaseSeen, (payload) => tell('lease', payload))
    bus.serve(NETWORK_CONTROL, control.routers, () => ({ routers: this.routers, external: this.external }))
    bus.serve(NETWORK_CONTROL, control.routerReady, (payload) => tell('router-ready', payload))
    bus.serve(NETWORK_CONTROL, control.agentReport, (payload) => tell('report', payload))
    bus.serve(NETWORK_CONTROL, control.tunnelEndpoints, () => this.endpoints)
    bus.serve(NETWORK_CONTROL, control.neighbours, () => this.neighbours)
    bus.serve(NETWORK_CONTROL, control.portByAddress, ({ address, routerId, networkId }) => {
      const here =
        networkId !== undefined
          ? this.networks.some((each) => each.segment.networkId === networkId)
          : this.routers.some((each) => each.id === routerId)
      const port = here ? this.devices.find((each) => each.fixedIps.some((fixed) => fixed.address === address)) : undefined
      return port ? { portId: port.portId, instanceId: port.deviceId, projectId: 't-1' } : null
    })
  }

  heard(name: string): any[] {
    return this.told.filter((each) => each.name === name).map((each) => each.payload)
  }

  private ownDevices(): DeviceDetails[] {
    const dhcp = this.networks.flatMap(({ dhcpPort, segment: of }) =>
      dhcpPort ? [ownPort(dhcpPort.id, 'network:dhcp', dhcpPort.macAddress, of, dhcpPort.fixedIps[0]?.address ?? '10.9.9.9')] : [],
    )
    const routed = this.routers.flatMap((each) =>
      [...each.interfaces, ...(each.gateway ? [each.gateway] : [])].map((port) =>
        ownPort(port.id, 'network:router_interface', port.macAddress, port.segment, port.addresses[0]!.address),
      ),
    )
    return [...dhcp, ...routed]
  }
}

/** The hybrid plug as compute does it: qbr, qvb, qvo, and qvo on br-int; the tap is the guest's. */
export async function plug({ netns, ovs }: Machine, { portId, macAddress, segment: { mtu } }: DeviceDetails): Promise<void> {
  const [qbr, qvb, qvo] = [qbrOf(portId), qvbOf(portId), qvoOf(portId)]
  await netns.apply(undefined, [
    { do: 'add-bridge', name: qbr },
    { do: 'set-bridge', name: qbr, forwardDelay: 0, ageing: 0, stp: false, multicastSnooping: false },
    { do: 'add-veth', name: qvb, peer: qvo },
    { do: 'set-link', name: qvb, mtu, promisc: true, master: qbr, up: true },
    { do: 'set-link', name: qvo, mtu, promisc: true, up: true },
    { do: 'set-link', name: qbr, mtu, up: true },
  ])
  await ovs.ensurePort('br-int', qvo, { externalIds: { 'iface-id': portId, 'attached-mac': macAddress, 'iface-status': 'active' } })
}

export async function unplug({ netns, ovs }: Machine, { portId }: DeviceDetails): Promise<void> {
  await ovs.removePort(qvoOf(portId))
  await netns.apply(undefined, [
    { do: 'delete-link', name: qvbOf(portId) },
    { do: 'delete-link', name: qbrOf(portId) },
  ])
}
