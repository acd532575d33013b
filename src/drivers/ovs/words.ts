import { badRequest, type Fault, notFound, unavailable } from '../../kernel/errors/errors.ts'
import type { Flow, Port } from './driver.ts'

/** Names reach the command line of ovs-ofctl, where a colon or a dash at the start would mean something else. */
export function portName(name: string): string {
  if (!/^[A-Za-z0-9_][\w.-]{0,62}$/.test(name)) throw badRequest(`'${name}' cannot name a bridge or a port.`, 'BadName')
  return name
}

export function vlan(tag: number): number {
  if (!Number.isInteger(tag) || tag < 0 || tag > 4095) throw badRequest(`${tag} is no VLAN: it is between 0 and 4095.`, 'BadTag')
  return tag
}

export function cookieText(cookie: number | bigint): string {
  const value = BigInt(cookie)
  if (value <= 0n || value >= 1n << 64n)
    throw badRequest(`${cookie} cannot tell our flows from others: a cookie is above 0 and below 2^64.`, 'BadFlow')
  return `0x${value.toString(16)}`
}

/** One flow a line: a line break inside one would begin another command. */
export function oneLine(flow: string): string {
  if (/[\r\n\0]/.test(flow)) throw badRequest(`A flow is one line: ${JSON.stringify(flow)}`, 'BadFlow')
  return flow.trim()
}

export const noBridge = (name: string) => notFound(`Open vSwitch has no bridge ${name}.`, 'NoSuchBridge')
export const noPort = (name: string) => notFound(`Open vSwitch has no port ${name}.`, 'NoSuchPort')

export const portFailed = (name: string, error?: string): Fault =>
  unavailable(
    `Open vSwitch cannot take ${name} up: ${error ?? 'its datapath cannot be made; where the kernel has no module openvswitch, the datapath type must be netdev'}`,
    'PortFailed',
  )

export function portTimeout(name: string, timeoutMs: number, port: Port | undefined): Fault {
  const state = port
    ? `it is on ${port.bridge}, ${port.ofport === undefined ? 'not taken up' : `ofport ${port.ofport}`}, tag ${port.tag ?? 'none'}${port.error ? `, error: ${port.error}` : ''}`
    : 'there is no such port'
  return unavailable(`Port ${name} is not as awaited after ${timeoutMs} ms: ${state}.`, 'PortTimeout')
}

/** Which fields of a flow's text are no part of its match. */
const BESIDES = new Set([
  'cookie',
  'table',
  'priority',
  'duration',
  'n_packets',
  'n_bytes',
  'idle_age',
  'hard_age',
  'idle_timeout',
  'hard_timeout',
  'importance',
  'send_flow_rem',
  'reset_counts',
])

/** A flow as ovs-ofctl writes and reads it; undefined for a line that holds none. */
export function parseFlow(line: string): (Flow & { timeouts: string }) | undefined {
  const found = /^(.*?)[\s,]*\bactions=(.*)$/.exec(line.trim())
  if (!found) return undefined
  const fields = found[1]!
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((field) => {
      const at = field.indexOf('=')
      return at < 0 ? ([field, ''] as const) : ([field.slice(0, at), field.slice(at + 1)] as const)
    })
  const value = (name: string, otherwise: string) => fields.find(([field]) => field === name)?.[1] ?? otherwise
  return {
    cookie: `0x${BigInt(value('cookie', '0')).toString(16)}`,
    table: Number(value('table', '0')),
    priority: Number(value('priority', '32768')),
    match: fields.filter(([field]) => !BESIDES.has(field)).map(([field, value]) => (value === '' ? field : `${field}=${value}`)),
    actions: found[2]!.trim(),
    packets: Number(value('n_packets', '0')),
    bytes: Number(value('n_bytes', '0')),
    timeouts: `${value('idle_timeout', '0')}/${value('hard_timeout', '0')}`,
    raw: line.trim(),
  }
}
