import { badRequest } from '../../kernel/errors/errors.ts'

/** Characters of a whole name. */
const FQDN = 255
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i

/** Of a port: without dots, in small letters. @throws Fault 400 */
export function dnsName(name: string): string {
  if (name !== '' && !LABEL.test(name)) throw noName('dns_name', name)
  return name.toLowerCase()
}

/** Of a network, with or without a dot at its end: what no name server can say would stop the network's DHCP. @throws Fault 400 */
export function dnsDomain(domain: string): string {
  if (
    domain !== '' &&
    !domain
      .replace(/\.$/, '')
      .split('.')
      .every((label) => LABEL.test(label))
  )
    throw noName('dns_domain', domain)
  return domain
}

/** Of a floating address, in small letters: a name within a domain, both or neither. @throws Fault 400 */
export function floatingName({ dns_name = '', dns_domain = '' }: { dns_name?: string; dns_domain?: string }) {
  const [name, domain] = [dns_name.toLowerCase(), dns_domain.toLowerCase()]
  if (name !== '' && !isName(name)) throw noName('dns_name', dns_name)
  if (domain !== '' && !(domain.endsWith('.') && isName(domain.slice(0, -1)))) throw noName('dns_domain', dns_domain)
  const [given, lacking] = name ? ['dns_name', 'dns_domain'] : ['dns_domain', 'dns_name']
  if ((name === '') !== (domain === ''))
    throw badRequest(`Bad floatingip request: ${given} cannot be specified without a ${lacking}.`, 'BadRequest')
  if (`${name}.${domain}`.length > FQDN) throw noName('dns_name', `${dns_name}.${dns_domain}`)
  return { dns_name: name, dns_domain: domain }
}

/** Of one label or several, the last of which is no number. */
function isName(text: string): boolean {
  const labels = text.split('.')
  return labels.every((label) => LABEL.test(label)) && !(labels.length > 1 && /^\d+$/.test(labels.at(-1)!))
}

const noName = (attribute: string, text: string) =>
  badRequest(`Invalid input for ${attribute}. Reason: '${text}' not a valid PQDN or FQDN.`, 'HTTPBadRequest')
