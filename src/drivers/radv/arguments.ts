import { badRequest } from '../../kernel/errors/errors.ts'
import { cidr, deviceName, ipAddress, whole } from '../netns/words.ts'
import type { AdvertisedMode, Advertisements } from './driver.ts'

/** s that guests may go on using a prefix. */
const PREFIX_SECONDS = 86_400
/** s between advertisements that nobody asked for, and how long a router that falls silent is believed. */
const [EVERY_SECONDS, ROUTER_SECONDS] = [100, 300]

/** dnsmasq's words for what guests are told. */
const MODES: Record<AdvertisedMode, string> = { slaac: 'ra-only', 'dhcpv6-stateless': 'ra-stateless', 'dhcpv6-stateful': 'static' }

/** What dnsmasq is started with to advertise and do nothing else, without its name. */
export function argumentsOf({ links }: Advertisements, directory: string, user: string): string[] {
  const prefixes = links.flatMap((link) => link.prefixes)
  return [
    '--port=0',
    '--no-hosts',
    '--no-resolv',
    '--conf-file=/dev/null',
    `--pid-file=${directory}/pid`,
    `--dhcp-leasefile=${directory}/leases`,
    `--log-facility=${directory}/log`,
    '--bind-dynamic',
    '--except-interface=lo',
    // who asks for more is answered by the network's own server
    '--dhcp-ignore=tag:!known',
    '--enable-ra',
    ...links.flatMap((link) => {
      const name = deviceName(link.interface)
      return [`--interface=${name}`, `--ra-param=${name},mtu:${whole(link.mtu)},${EVERY_SECONDS},${ROUTER_SECONDS}`]
    }),
    ...prefixes.map((each, i) => {
      const { address, prefix } = cidr(each.cidr)
      return `--dhcp-range=set:prefix${i},${address},${MODES[each.mode]},${prefix},${PREFIX_SECONDS}s`
    }),
    ...prefixes.flatMap(({ dns }, i) =>
      dns.length ? [`--dhcp-option=tag:prefix${i},option6:dns-server,${dns.map((address) => `[${ipAddress(address)}]`).join(',')}`] : [],
    ),
    `--user=${user}`,
  ]
}

/** Ids become file names and arguments. */
export function identifier(id: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(id))
    throw badRequest(`${JSON.stringify(id)} cannot be the id of a router.`, 'BadAdvertisement')
  return id
}
