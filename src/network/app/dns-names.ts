import { badRequest } from '../../kernel/errors/errors.ts'

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

const noName = (attribute: string, text: string) =>
  badRequest(`Invalid input for ${attribute}. Reason: '${text}' not a valid PQDN or FQDN.`, 'HTTPBadRequest')
