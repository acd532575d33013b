import { badRequest } from '../../kernel/errors/errors.ts'
import { ipAddress } from '../netns/words.ts'
import type { MetadataProxy } from './driver.ts'

/** Headers that only the proxies and the metadata server may set. */
export const GUARDED = [
  'X-Forwarded-For',
  'X-Neutron-Router-ID',
  'X-Neutron-Network-ID',
  'X-Instance-ID',
  'X-Instance-ID-Signature',
  'X-Tenant-ID',
  'X-Metadata-Provider',
  'X-Metadata-Provider-Signature',
]

/** The file haproxy is started with. `user` gives up root after the ports are bound. */
export function configurationOf(proxy: MetadataProxy, pidFile: string, user: string | undefined): string {
  const owner = proxy.kind === 'router' ? 'X-Neutron-Router-ID' : 'X-Neutron-Network-ID'
  return `${[
    'global',
    '  maxconn 1024',
    ...(user ? [`  user ${user}`, `  group ${user}`] : []),
    '  daemon',
    `  pidfile ${path(pidFile)}`,
    'defaults',
    '  mode http',
    '  retries 3',
    '  timeout http-request 30s',
    '  timeout connect 30s',
    '  timeout client 32s',
    '  timeout server 32s',
    '  timeout http-keep-alive 30s',
    'listen metadata',
    ...proxy.listen.map(({ address, port }) => `  bind ${ipAddress(address)}:${portNumber(port)}`),
    ...GUARDED.map((header) => `  http-request del-header ${header}`),
    '  http-request set-header X-Forwarded-For %[src]',
    `  http-request set-header ${owner} ${identifier(proxy.id)}`,
    `  server metadata unix@${path(proxy.socket)}`,
  ].join('\n')}\n`
}

export const identifier = (id: string) => (/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(id) ? id : bad('an id', id))

const path = (text: string) => (/^\/[\w@%+=:,./-]+$/.test(text) ? text : bad('a path', text))
const portNumber = (port: number) => (Number.isInteger(port) && port > 0 && port < 65_536 ? port : bad('a port', String(port)))

function bad(what: string, text: string): never {
  throw badRequest(`${JSON.stringify(text)} cannot be ${what} of a metadata proxy.`, 'BadProxy')
}
