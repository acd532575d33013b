import { badRequest } from '../../kernel/errors/errors.ts'
import { cidr, deviceName, ipAddress, macAddress } from '../netns/words.ts'
import type { DhcpEvent, DhcpHost, DhcpOption, DhcpService, Lease } from './driver.ts'

const LEASE_SECONDS = 86_400
/** What is longer dnsmasq reads as two lines, and the second says whatever it then says. */
const LONGEST_LINE = 1000

export interface DhcpFiles {
  host: string
  addn_hosts: string
  opts: string
}

/** The files of a service, word by word checked: none can hold a comma, a blank or a newline that its author put there. */
export function filesOf(service: DhcpService): DhcpFiles {
  const tagged = new Set(service.options.flatMap((option) => ('portId' in option.for ? [option.for.portId] : [])))
  const hosts = service.hosts.map((host) => linesOf(host, service.domain, tagged.has(host.portId)))
  return {
    host: hosts.map((one) => one.host).join(''),
    addn_hosts: hosts.map((one) => one.names).join(''),
    opts: lines(service.options.map(optionLine)),
  }
}

interface HostLines {
  domain: string
  tagged: boolean
  host: string
  names: string
}

const written = new WeakMap<DhcpHost, HostLines>()

/** Of a host that was written before, what was written: a network has a thousand, and each new one makes new files. */
function linesOf(host: DhcpHost, domain: string, tagged: boolean): HostLines {
  const known = written.get(host)
  if (known?.domain === domain && known.tagged === tagged) return known
  const tag = tagged ? `set:port-${identifier(host.portId)},` : ''
  const name = fullName(host, domain)
  const made = {
    domain,
    tagged,
    host: lines(host.addresses.map((address) => `${macAddress(host.mac)},${tag}${name},${bracketed(address)}`)),
    names: lines(host.addresses.map((address) => `${ipAddress(address)}\t${name} ${hostName(host.name)}`)),
  }
  written.set(host, made)
  return made
}

/** One line of the options file. @throws Fault 400 BadDhcpEntry */
export function optionLine({ for: whom, family, option, values }: DhcpOption): string {
  const tag = 'portId' in whom ? `port-${identifier(whom.portId)}` : `subnet-${identifier(whom.subnetId)}`
  const name =
    typeof option === 'number' || /^\d{1,5}$/.test(option)
      ? String(option)
      : /^[a-z0-9-]{1,40}$/.test(option)
        ? `option${family === 6 ? '6' : ''}:${option}`
        : bad('the name of a DHCP option', option)
  const line = [`tag:${tag}`, family === 6 && /^\d/.test(name) ? `option6:${name}` : name, ...values.map(value)].join(',')
  return line.length <= LONGEST_LINE ? line : bad('the value of a DHCP option', `${line.slice(0, 40)}…`)
}

/** A value is one word, or a quoted text; commas stay what separates values. */
function value(text: string): string {
  return text
    .split(',')
    .map((part) =>
      /^[\w./:@=+[\]-]*$/.test(part)
        ? part
        : /^[\x20-\x7e]*$/.test(part) && !/["\\]/.test(part)
          ? `"${part}"`
          : bad('the value of a DHCP option', text),
    )
    .join(',')
}

/** What the process is started with, without its name. */
export function argumentsOf(service: DhcpService, directory: string, user: string): string[] {
  const ranges = service.subnets.map(({ id, cidr: text }) => {
    const { address, prefix, family } = cidr(text)
    const size = family === 4 ? maskOf(prefix) : String(prefix)
    return {
      family,
      hosts: 2 ** Math.min((family === 4 ? 32 : 128) - prefix, 16),
      line: `--dhcp-range=set:subnet-${identifier(id)},${address},static,${size},${LEASE_SECONDS}s`,
    }
  })
  return [
    '--no-hosts',
    '--no-resolv',
    `--pid-file=${directory}/pid`,
    `--dhcp-hostsfile=${directory}/host`,
    `--addn-hosts=${directory}/addn_hosts`,
    `--dhcp-optsfile=${directory}/opts`,
    `--dhcp-leasefile=${directory}/leases`,
    `--log-facility=${directory}/log`,
    '--dhcp-match=set:ipxe,175',
    '--dhcp-userclass=set:ipxe6,iPXE',
    '--local-service',
    '--bind-dynamic',
    '--except-interface=lo',
    `--interface=${deviceName(service.interface)}`,
    '--dhcp-authoritative',
    ...ranges.map((range) => range.line),
    `--dhcp-lease-max=${Math.min(
      ranges.reduce((sum, range) => sum + range.hosts, 0),
      65_536,
    )}`,
    `--dhcp-option-force=option:mtu,${service.mtu}`,
    '--conf-file=/dev/null',
    `--domain=${domainName(service.domain)}`,
    ...service.upstreamDns.map((server) => `--server=${ipAddress(server)}`),
    `--user=${user}`,
  ]
}

export function parseLeases(text: string): Lease[] {
  return text.split('\n').flatMap((line) => {
    const [, expires, mac, address, name] = /^(\d+) ([0-9a-f:]{17}) (\S+) (\S+) /.exec(line) ?? []
    return expires && mac && address && name ? [{ mac, address, name, expiresAt: Number(expires), line }] : []
  })
}

/** `Nov 23 08:49:01 dnsmasq-dhcp[123]: DHCPACK(tap3f2a90c1-7e) 10.1.0.10 fa:16:3e:00:03:0a host-10-1-0-10` */
export function parseLogLine(networkId: string, line: string, at: number): DhcpEvent | undefined {
  const [, kind, rest] = /dnsmasq-dhcp\[\d+\]: (?:\d+ )?(DHCP[A-Z]+)\([^)]*\) (.*)$/.exec(line) ?? []
  const [, address, mac, name] = /^(?:([0-9.]+) )?([0-9a-f]{2}(?::[0-9a-f]{2}){5})(?: (\S+))?/.exec(rest ?? '') ?? []
  if (!kind || !mac) return undefined
  return { networkId, kind, mac, ...(address ? { address } : {}), ...(name ? { name } : {}), line: line.trim(), at }
}

const lines = (list: string[]) => list.map((line) => `${line}\n`).join('')
const bracketed = (address: string) => (address.includes(':') ? `[${ipAddress(address)}]` : ipAddress(address))
const fullName = (host: DhcpHost, domain: string) => `${hostName(host.name)}${domain ? `.${domainName(domain)}` : ''}`
const hostName = (name: string) => (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(name) ? name.toLowerCase() : bad('a host name', name))
const domainName = (name: string) =>
  /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i.test(name)
    ? name.toLowerCase().replace(/\.$/, '')
    : bad('a domain', name)

/** Ids become file names, tags and arguments. */
export const identifier = (id: string) => (/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(id) ? id : bad('an id', id))

const maskOf = (prefix: number) =>
  [24, 16, 8, 0].map((shift) => ((prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0) >>> shift) & 255).join('.')

function bad(what: string, text: string): never {
  throw badRequest(`${JSON.stringify(text)} cannot be ${what}.`, 'BadDhcpEntry')
}
