import { cidr } from '../../drivers/netns/words.ts'
import type { DeviceDetails, Segment } from '../../network/rpc.ts'
import { linkLocal } from './addresses.ts'

/**
 * The flows of br-int and of the provider bridges, as Neutron's agent lays them out. Numbers of ports are OpenFlow's.
 * br-int: 0 where frames come in, 23 a canary, 24 whose ARP it is, 25 whose MAC it is, 60 out as an ordinary switch does.
 */
/** Flows that others set are left alone. */
export const COOKIE = 0x79756e

/** The VLAN of ports that must not be heard. */
export const DEAD_VLAN = 4095

/** A network as this host numbers it: the VLAN means nothing on any other host. */
export interface LocalNetwork {
  vlan: number
  segment: Segment
}

/** A device on br-int whose sender addresses are checked. */
export interface GuardedDevice {
  ofport: number
  details: DeviceDetails
}

/** A patch from br-int to the bridge of a physical network, seen from both ends. */
export interface ProviderLink {
  physicalNetwork: string
  bridge: string
  onIntegration: number
  onProvider: number
}

export function integrationFlows(state: {
  networks: LocalNetwork[]
  providers: ProviderLink[]
  guarded: GuardedDevice[]
  dead: number[]
}): string[] {
  return [
    `table=0,priority=65535,dl_vlan=${DEAD_VLAN},actions=drop`,
    'table=0,priority=0,actions=resubmit(,60)',
    'table=23,priority=0,actions=drop',
    'table=24,priority=0,actions=drop',
    'table=25,priority=0,actions=drop',
    'table=60,priority=3,actions=NORMAL',
    ...state.dead.map((ofport) => `table=0,priority=65534,in_port=${ofport},actions=drop`),
    ...state.providers.flatMap((link) => [
      `table=0,priority=2,in_port=${link.onIntegration},actions=drop`,
      ...onLink(state.networks, link).map(
        ({ vlan, segment }) =>
          `table=0,priority=3,in_port=${link.onIntegration},${outerMatch(segment)},actions=mod_vlan_vid:${vlan},resubmit(,60)`,
      ),
    ]),
    ...state.guarded.flatMap(guardFlows),
  ]
}

/** Whether the switch must look at what the device says it is: guests' devices, unless their port trusts them. */
export const isGuarded = (details: DeviceDetails): boolean => details.portSecurity && !details.deviceOwner.startsWith('network:')

function guardFlows({ ofport, details }: GuardedDevice): string[] {
  const pairs = [
    ...details.fixedIps.map((fixed) => ({ address: fixed.address, mac: details.macAddress })),
    ...details.allowedAddressPairs.map((pair) => ({ address: pair.address, mac: pair.macAddress || details.macAddress })),
  ]
  const ranges = pairs.map((pair) => cidr(pair.address))
  const four = ranges.filter((range) => range.family === 4).map(({ address, prefix }) => (prefix === 32 ? address : `${address}/${prefix}`))
  const six = ranges.filter((range) => range.family === 6).map(({ address, prefix }) => (prefix === 128 ? address : `${address}/${prefix}`))
  // who may send from every address may announce every address
  const anyFour = ranges.some((range) => range.family === 4 && range.prefix === 0)
  const anySix = six.length === 0 || ranges.some((range) => range.family === 6 && range.prefix === 0)
  const macs = new Set([details.macAddress, ...pairs.map((pair) => pair.mac)].map((mac) => mac.toLowerCase()))
  return [
    `table=0,priority=9,in_port=${ofport},actions=resubmit(,25)`,
    ...[...macs].map((mac) => `table=25,priority=2,in_port=${ofport},dl_src=${mac},actions=resubmit(,60)`),
    ...(anyFour ? [] : [`table=0,priority=10,arp,in_port=${ofport},actions=resubmit(,24)`]),
    ...(anyFour
      ? []
      : [...new Set(four)].map((address) => `table=24,priority=2,arp,in_port=${ofport},arp_spa=${address},actions=resubmit(,25)`)),
    ...(anySix ? [] : [`table=0,priority=10,icmp6,in_port=${ofport},icmp_type=136,actions=resubmit(,24)`]),
    ...(anySix
      ? []
      : [...new Set([...six, ...[...macs].map(linkLocal)])].map(
          (address) => `table=24,priority=2,icmp6,in_port=${ofport},icmp_type=136,nd_target=${address},actions=resubmit(,25)`,
        )),
  ]
}

export function providerFlows(link: ProviderLink, networks: LocalNetwork[]): string[] {
  return [
    'table=0,priority=0,actions=NORMAL',
    `table=0,priority=2,in_port=${link.onProvider},actions=drop`,
    ...onLink(networks, link).map(
      ({ vlan, segment }) =>
        `table=0,priority=4,in_port=${link.onProvider},dl_vlan=${vlan},actions=${segment.networkType === 'vlan' ? `mod_vlan_vid:${segment.segmentationId}` : 'strip_vlan'},NORMAL`,
    ),
  ]
}

/** How the network looks on its physical network. */
const outerMatch = (segment: Segment) => (segment.networkType === 'vlan' ? `dl_vlan=${segment.segmentationId}` : 'vlan_tci=0x0000/0x1fff')

const onLink = (networks: LocalNetwork[], link: ProviderLink) =>
  networks.filter(
    ({ segment }) => (segment.networkType === 'flat' || segment.networkType === 'vlan') && segment.physicalNetwork === link.physicalNetwork,
  )
