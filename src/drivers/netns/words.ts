import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { Shape } from './driver.ts'

/** Everything that ends up in a batch file is checked here first: a word with a blank or a newline in it would be another command. */
export function deviceName(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(name))
    throw badRequest(`${JSON.stringify(name)} cannot be the name of a network device: 1 to 15 letters, digits, '_', '.' or '-'.`, 'BadName')
  return name
}

export function namespaceName(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name))
    throw badRequest(
      `${JSON.stringify(name)} cannot be the name of a network namespace: 1 to 64 letters, digits, '_', '.' or '-'.`,
      'BadName',
    )
  return name
}

export function macAddress(mac: string): string {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw badRequest(`${JSON.stringify(mac)} is not a MAC address.`, 'BadAddress')
  return mac.toLowerCase()
}

export function ipAddress(address: string): string {
  if (!isIP(address) || address.includes('%')) throw badRequest(`${JSON.stringify(address)} is not an IP address.`, 'BadAddress')
  return ipaddr.parse(address).toString()
}

/** `address/prefix`; an address alone is a whole host. */
export function cidr(text: string): { address: string; prefix: number; family: 4 | 6 } {
  const [address = '', prefix, more] = text.split('/')
  const shown = ipAddress(address)
  const family = isIP(shown) as 4 | 6
  const whole = family === 4 ? 32 : 128
  const length = prefix === undefined ? whole : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (more !== undefined || !(length <= whole))
    throw badRequest(`${JSON.stringify(text)} is not an address with a prefix length.`, 'BadAddress')
  return { address: shown, prefix: length, family }
}

export function destination(to: string): string {
  if (to === 'default') return to
  const { address, prefix, family } = cidr(to)
  return prefix === (family === 4 ? 32 : 128) ? address : `${address}/${prefix}`
}

export function sysctlName(name: string): string {
  if (!/^[a-z0-9_][a-z0-9_-]*(\.[A-Za-z0-9_/-]+)+$/.test(name) || name.includes('..'))
    throw badRequest(`${JSON.stringify(name)} is not a sysctl name.`, 'BadName')
  return name
}

export function whole(number: number): number {
  if (!Number.isSafeInteger(number) || number < 0) throw badRequest(`${number} is not a whole number.`, 'BadNumber')
  return number
}

/** With everything that may be left out filled in: a burst not given is what passes in 100 ms, and at least two full frames. */
export function fullShape(shape: Shape): Shape & { burst: number } {
  const burst = shape.burst ?? Math.max(Math.round(shape.rate / 10), 25)
  const full = shape.kind === 'htb' ? { ...shape, ceil: shape.ceil ?? shape.rate, burst } : { ...shape, burst }
  for (const number of [full.rate, full.burst, full.kind === 'htb' ? full.ceil! : 1])
    if (!Number.isSafeInteger(number) || number <= 0) throw badRequest(`${number} is not a rate: whole kbit/s above 0.`, 'BadRate')
  return full
}
