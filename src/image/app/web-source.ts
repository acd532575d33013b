import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import ipaddr from 'ipaddr.js'
import { badRequest, Fault, unavailable } from '../../kernel/errors/errors.ts'

/** From where images may be fetched. Addresses inside (loopback, private, link-local with its metadata service, ...) are open only to hosts that the operator names. */
export interface WebSources {
  schemes: string[]
  ports: number[]
  /** Host names or addresses, with or without `:port`, that may be anywhere and on any port. */
  trustedHosts: string[]
}

export const WEB_SOURCES: WebSources = { schemes: ['http', 'https'], ports: [80, 443], trustedHosts: [] }

const MOST_REDIRECTS = 5
const PATIENCE_MS = 30_000

const refused = (uri: string, why: string) => badRequest(`URI for web-download does not pass filtering: ${uri} ${why}.`, 'ImportRefused')

/** What can be told without asking anybody. @throws Fault 400 */
export function assertAllowed(uri: string, sources: WebSources): URL {
  const url = URL.canParse(uri) ? new URL(uri) : null
  if (!url) throw refused(uri, 'is not an absolute address')
  const scheme = url.protocol.slice(0, -1)
  if (!sources.schemes.includes(scheme)) throw refused(uri, `is not ${sources.schemes.join(' or ')}`)
  if (url.username || url.password) throw refused(uri, 'holds a user or a password')
  if (isTrusted(url, sources)) return url
  if (!sources.ports.includes(portOf(url))) throw refused(uri, `is not on port ${sources.ports.join(' or ')}`)
  const literal = url.hostname.replace(/^\[|\]$/g, '')
  if (ipaddr.isValid(literal) && !isOutside(literal)) throw refused(uri, 'is an address inside')
  return url
}

/**
 * The data behind an address; each redirect is looked at like the first address, and the connection goes to the very address that was looked at.
 * @throws Fault 400 for an address inside, 502 when the server does not give the data, 503 when it does not answer
 */
export async function openWebSource(uri: string, sources: WebSources): Promise<{ stream: Readable; bytes: number | null }> {
  let url = assertAllowed(uri, sources)
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const answer = await ask(url, sources)
    const { statusCode = 0, headers } = answer
    if (statusCode === 200) return { stream: answer, bytes: headers['content-length'] ? Number(headers['content-length']) : null }
    answer.destroy()
    if (![301, 302, 303, 307, 308].includes(statusCode) || !headers.location)
      throw new Fault(502, 'ImportSource', `${url.href} answers ${statusCode}, not with an image.`)
    url = assertAllowed(new URL(headers.location, url).href, sources)
  }
  throw new Fault(502, 'ImportSource', `${uri} leads on more than ${MOST_REDIRECTS} times.`)
}

function ask(url: URL, sources: WebSources): Promise<http.IncomingMessage> {
  const { get } = url.protocol === 'https:' ? https : http
  return new Promise((resolve, reject) => {
    const request = get(url, { lookup: isTrusted(url, sources) ? undefined : outsideOnly, timeout: PATIENCE_MS }, resolve)
    request.once('timeout', () => request.destroy(new Error(`no word for ${PATIENCE_MS / 1000} s`)))
    request.once('error', (error) =>
      reject(error instanceof Fault ? error : unavailable(`${url.host} cannot be reached: ${error.message}`)),
    )
  })
}

/** A name may lead inside, and lead elsewhere when it is asked again: only addresses that were looked at are connected to. */
export const lookupOutside =
  (resolve: (hostname: string) => Promise<LookupAddress[]>): LookupFunction =>
  (hostname, options, done) => {
    const settle = (error: Error | null, found: LookupAddress[] = []) =>
      options.all ? done(error, found) : done(error, found[0]?.address ?? '', found[0]?.family)
    resolve(hostname).then((found) => {
      if (found.length > 0 && found.every((one) => isOutside(one.address))) settle(null, found)
      else settle(refused(hostname, 'leads to an address inside'))
    }, settle)
  }

const outsideOnly = lookupOutside((hostname) => lookup(hostname, { all: true }))

/** Of IPv6 only what is given out to the world (RFC 4291): ::127.0.0.1 is no address of anybody's either. */
const GLOBAL = ipaddr.IPv6.parseCIDR('2000::/3')

function isOutside(address: string): boolean {
  const parsed = ipaddr.process(address)
  return parsed.range() === 'unicast' && (parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL))
}

const portOf = (url: URL): number => Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
const isTrusted = (url: URL, { trustedHosts }: WebSources): boolean =>
  trustedHosts.includes(url.hostname) || trustedHosts.includes(`${url.hostname}:${portOf(url)}`)
