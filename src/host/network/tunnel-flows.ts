import type { Neighbour, Segment } from '../../network/rpc.ts'
import { familyOf } from './addresses.ts'
import type { LocalNetwork } from './flows.ts'

/** A port of br-tun behind which another host is. */
export interface Tunnel {
  type: 'vxlan' | 'gre'
  /** Where it ends. */
  address: string
  ofport: number
}

/**
 * The flows of br-tun: 0 by origin, 2 from the host, 3 GRE and 4 VXLAN from other hosts, 10 learns, 20 to a known MAC, 21 ARP, 22 to everyone. Where the ports of other hosts are is known from control (l2population): frames to them leave by one tunnel (20), questions for their
 * addresses are answered here (21), and what is for everyone goes to the hosts that have the network (22). What control did not say yet is learned (10).
 */
export function tunnelFlows(state: {
  patch: number
  networks: LocalNetwork[]
  tunnels: Tunnel[]
  /** By network id. */
  neighbours: Map<string, Neighbour[]>
}): string[] {
  const tunnelled = state.networks.filter(({ segment }) => segment.networkType === 'vxlan' || segment.networkType === 'gre')
  return [
    'table=0,priority=0,actions=drop',
    `table=0,priority=1,in_port=${state.patch},actions=resubmit(,2)`,
    ...state.tunnels.map(({ type, ofport }) => `table=0,priority=1,in_port=${ofport},actions=resubmit(,${TABLE_OF[type]})`),
    'table=2,priority=1,arp,dl_dst=ff:ff:ff:ff:ff:ff,actions=resubmit(,21)',
    'table=2,priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,20)',
    'table=2,priority=0,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,22)',
    ...['3', '4'].map((table) => `table=${table},priority=0,actions=drop`),
    ...tunnelled.map(
      ({ vlan, segment }) =>
        `table=${TABLE_OF[segment.networkType as 'vxlan' | 'gre']},priority=1,tun_id=${hex(segment)},actions=mod_vlan_vid:${vlan},resubmit(,10)`,
    ),
    `table=10,priority=1,actions=learn(table=20,hard_timeout=300,priority=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[]),output:${state.patch}`,
    'table=20,priority=0,actions=resubmit(,22)',
    'table=21,priority=0,actions=resubmit(,22)',
    'table=22,priority=0,actions=drop',
    ...tunnelled.flatMap((network) => {
      const { type, tunnels } = { type: network.segment.networkType, tunnels: state.tunnels }
      const behind = new Map(tunnels.flatMap((tunnel) => (tunnel.type === type ? [[tunnel.address, tunnel.ofport] as const] : [])))
      const known = (state.neighbours.get(network.segment.networkId) ?? []).flatMap(({ endpoint, ...port }) => {
        const ofport = behind.get(endpoint)
        return ofport === undefined ? [] : [{ ...port, ofport }]
      })
      return [...known.flatMap((port) => neighbourFlows(network, port)), ...floodFlow(network, new Set(known.map(({ ofport }) => ofport)))]
    }),
  ]
}

const TABLE_OF = { gre: 3, vxlan: 4 } as const

function neighbourFlows({ vlan, segment }: LocalNetwork, port: Omit<Neighbour, 'endpoint'> & { ofport: number }): string[] {
  const mac = port.macAddress.toLowerCase()
  const bytes = `0x${mac.replaceAll(':', '')}`
  return [
    `table=20,priority=2,dl_vlan=${vlan},dl_dst=${mac},actions=strip_vlan,set_tunnel:${hex(segment)},output:${port.ofport}`,
    ...port.addresses
      .filter((address) => familyOf(address) === 4)
      .map(
        (address) =>
          `table=21,priority=1,arp,dl_vlan=${vlan},arp_tpa=${address},actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_dl_src:${mac},load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],load:${bytes}->NXM_NX_ARP_SHA[],load:${number(address)}->NXM_OF_ARP_SPA[],IN_PORT`,
      ),
  ]
}

function floodFlow({ vlan, segment }: LocalNetwork, ofports: Set<number>): string[] {
  if (ofports.size === 0) return []
  const out = [...ofports].sort((a, b) => a - b).map((ofport) => `output:${ofport}`)
  return [`table=22,priority=1,dl_vlan=${vlan},actions=strip_vlan,set_tunnel:${hex(segment)},${out.join(',')}`]
}

const hex = (segment: Segment) => `0x${(segment.segmentationId ?? 0).toString(16)}`
const number = (address: string) =>
  `0x${address
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('')
    .replace(/^0+(?=.)/, '')}`
