import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { badRequest } from '../../kernel/errors/errors.ts'

/** A range of addresses as numbers, both ends in it. */
export interface Range {
  version: 4 | 6
  first: bigint
  last: bigint
}

export interface Prefix extends Range {
  length: number
  /** `192.168.0.0/24` */
  text: string
}

const BITS = { 4: 32n, 6: 128n }

export const versionOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4)

export function isAddress(text: unknown): text is string {
  // what hosts take for one too: ipaddr.js alone would read ::ffff:0x7f.0.0.1
  return typeof text === 'string' && isIP(text) !== 0 && !text.includes('%')
}

/** @throws Fault 400 */
export function numberOf(address: string, what = 'IP address'): bigint {
  if (!isAddress(address)) throw badRequest(`'${address}' is not a valid ${what}.`, 'InvalidInput')
  return BigInt(`0x${Buffer.from(ipaddr.parse(address).toByteArray()).toString('hex')}`)
}

export function textOf(version: 4 | 6, value: bigint): string {
  if (version === 4) {
    // for each address of a network when a free one is looked for
    const four = Number(value)
    return `${four >>> 24}.${(four >>> 16) & 255}.${(four >>> 8) & 255}.${four & 255}`
  }
  const hex = value.toString(16).padStart(Number(BITS[version] / 4n), '0')
  return ipaddr.fromByteArray([...Buffer.from(hex, 'hex')]).toString()
}

/** The one way an address is written. @throws Fault 400 */
export const canonical = (address: string, what?: string): string => textOf(versionOf(address), numberOf(address, what))

/** An address alone counts as a range of one; bits of the host are cleared. @throws Fault 400 */
export function prefixOf(text: string, what = 'IP subnet'): Prefix {
  const [address = '', length, ...rest] = String(text).split('/')
  const wrong = () => badRequest(`'${text}' is not a valid ${what}.`, 'InvalidInput')
  if (!isAddress(address) || rest.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) throw wrong()
  const version = versionOf(address)
  const bits = BITS[version]
  const size = length === undefined ? bits : BigInt(length)
  if (size > bits) throw wrong()
  const host = (1n << (bits - size)) - 1n
  const first = numberOf(address) & ~host
  return { version, first, last: first | host, length: Number(size), text: `${textOf(version, first)}/${size}` }
}

export const overlaps = (a: Range, b: Range): boolean => a.version === b.version && a.first <= b.last && b.first <= a.last
export const contains = (range: Range, address: string): boolean => {
  if (versionOf(address) !== range.version) return false
  const value = numberOf(address)
  return value >= range.first && value <= range.last
}

/** The addresses of `ranges`, in their order; those of the first one that `from` is in begin there. */
export function* addressesOf(ranges: Range[], from?: bigint): Generator<string> {
  const start =
    from === undefined
      ? 0
      : Math.max(
          0,
          ranges.findIndex(({ first, last }) => from >= first && from <= last),
        )
  for (const { version, first, last } of ranges.slice(start)) {
    const within = from !== undefined && from >= first && from <= last
    for (let value = within ? from : first; value <= last; value++) yield textOf(version, value)
  }
}

/** What a device with this MAC calls itself in a prefix of 64 bits. */
export function eui64(prefix: Prefix, mac: string): string {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16))
  const all = [bytes[0]! ^ 2, bytes[1]!, bytes[2]!, 0xff, 0xfe, bytes[3]!, bytes[4]!, bytes[5]!]
  return textOf(6, prefix.first | BigInt(`0x${Buffer.from(all).toString('hex')}`))
}

export function isMac(text: unknown): text is string {
  return typeof text === 'string' && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)
}
