import ipaddr from 'ipaddr.js'
import { cidr } from '../../drivers/netns/words.ts'

/** `10.1.0.77/24` → `10.1.0.0/24`; an address alone becomes `/32` or `/128`. */
export function networkOf(text: string): string {
  const { address, prefix, family } = cidr(text)
  const network = (family === 4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(`${address}/${prefix}`)
  return `${network.toString()}/${prefix}`
}

export const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4)

/** Whether `address` lies in `range`. */
export function contains(range: string, address: string): boolean {
  const { address: base, prefix, family } = cidr(range)
  return familyOf(address) === family && ipaddr.parse(address).match(ipaddr.parse(base) as ipaddr.IPv6, prefix)
}

/** The address that a device with this MAC gives itself on a link. */
export function linkLocal(mac: string): string {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16))
  const words = [
    [bytes[0]! ^ 2, bytes[1]!],
    [bytes[2]!, 0xff],
    [0xfe, bytes[3]!],
    [bytes[4]!, bytes[5]!],
  ].map(([high, low]) => ((high! << 8) | low!).toString(16))
  return ipaddr.parse(`fe80::${words.join(':')}`).toString()
}
