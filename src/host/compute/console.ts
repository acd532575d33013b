import { open } from 'node:fs/promises'
import { type Element, find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import { KiB } from '../../kernel/units/units.ts'
import { domainOf, isActive } from './power-states.ts'
import type { World } from './world.ts'

/** As much of a console log as one answer holds. */
const MOST_BYTES = 100 * KiB

/** Of a running domain. */
export function vncPortOf(domain: Element): number | null {
  const port = Number(find(domain, 'devices', 'graphics').find(({ attributes }) => attributes.type === 'vnc')?.attributes.port ?? -1)
  return port > 0 ? port : null
}

export async function consoleAt({ machine: { libvirt }, options }: World, { uuid, kind }: { uuid: string; kind: 'vnc' | 'serial' }) {
  const listens = options.vncAddress ?? '127.0.0.1'
  const host = ['0.0.0.0', '::'].includes(listens) ? options.hostIp : listens
  const domain = await domainOf(libvirt, uuid)
  if (!domain || !isActive(domain)) return { host, port: null, path: null }
  const root = parseXml(await libvirt.domainXml(uuid))
  if (kind === 'vnc') return { host, port: vncPortOf(root), path: null }
  return { host, port: null, path: first(root, 'devices', 'serial', 'source')?.attributes.path ?? null }
}

/** The end of what the guest said on its serial port; what the log daemon has put aside (`.0`) is read where the newest part is short. */
export async function consoleLog({ places }: World, { uuid, lines }: { uuid: string; lines: number | null }): Promise<{ output: string }> {
  const path = places.consoleLog(uuid)
  const now = await tail(path, MOST_BYTES)
  const before = now.length < MOST_BYTES ? await tail(`${path}.0`, MOST_BYTES - now.length) : Buffer.alloc(0)
  const text = Buffer.concat([before, now]).toString('utf8')
  if (lines === null || lines < 0) return { output: text }
  if (lines === 0) return { output: '' }
  return { output: text.split('\n').slice(-lines).join('\n') } // what comes after the last line's end counts as one
}

async function tail(path: string, bytes: number): Promise<Buffer> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    const length = Math.min(size, bytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    if ((error as Fault).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

export async function screenshot({ machine: { libvirt } }: World, uuid: string): Promise<{ type: string; base64: string }> {
  const { mime, data } = await libvirt.screenshot(uuid)
  return { type: mime, base64: data.toString('base64') }
}
