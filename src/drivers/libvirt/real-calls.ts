import { noteCommand } from '../../kernel/trace/trace.ts'
import { Connection } from './connection.ts'
import type { LibvirtEvent } from './driver.ts'
import { isNoDomain, libvirtError, libvirtFault } from './errors.ts'
import { events, LIFECYCLE, LIFECYCLE_DETAILS, type Procedure, procedures } from './procedures.ts'
import { type XdrReader, XdrWriter } from './xdr.ts'

const DISK_JOB_STATES = ['completed', 'failed', 'canceled', 'ready'] as const

export interface RealLibvirtOptions {
  socketPath?: string
  uri?: string
  /** ms for an answer (default 60 000); starting, saving and snapshots get ten times that. */
  timeoutMs?: number
}

interface More {
  timeoutMs?: number
  /** The answer is followed by a stream. */
  stream?: boolean
  /** Reads only: noted as evidence where it fails, and not else. */
  quiet?: boolean
}

export type Calls = ReturnType<typeof libvirtCalls>

/** Calls over one connection, noted as evidence; the names of domains; events. */
export function libvirtCalls(options: RealLibvirtOptions) {
  const { socketPath = '/var/run/libvirt/libvirt-sock', uri = 'qemu:///system', timeoutMs = 60_000 } = options
  const listeners = new Set<(event: LibvirtEvent) => void>()
  /** Names as last seen: calls name domains by uuid, notes and errors by both. */
  const names = new Map<string, string>()
  const emit = (event: LibvirtEvent) => {
    for (const listener of listeners) listener(event)
  }
  const connection = new Connection({
    socketPath,
    uri,
    timeoutMs,
    onEvent: (procedure, message) => {
      const event = readEvent(procedure, message)
      if (event) emit(event)
    },
    async onUp() {
      for (const { id } of Object.values(events))
        await connection.send(procedures.connectDomainEventRegister, new XdrWriter().int(id).int(0).done(), { what: 'event-register' })
      emit({ kind: 'connection', up: true })
    },
    onDown: () => emit({ kind: 'connection', up: false }),
  })

  async function ask<T = void>(
    procedure: Procedure,
    what: string,
    args: Buffer,
    read: (reply: XdrReader, stream: Buffer) => T = () => undefined as T,
    more: More = {},
  ): Promise<T> {
    const started = performance.now()
    let output = ''
    try {
      const { reply, stream } = await connection.call(procedure, args, { what, ...more })
      return read(reply, stream)
    } catch (error) {
      output = (error as Error).message
      throw error
    } finally {
      if (!more.quiet || output) noteCommand({ what: `libvirt: ${what}`, ms: performance.now() - started, ...(output && { output }) })
    }
  }

  const named = (uuid: string) => names.get(uuid) ?? uuid
  /** What the protocol calls a domain; libvirt goes by the uuid. */
  const dom = (uuid: string) => new XdrWriter().string(named(uuid)).fixed(bytesOf(uuid)).int(-1)

  /** A call about one domain. */
  async function onDomain<T = void>(
    procedure: Procedure,
    call: string,
    uuid: string,
    args: (writer: XdrWriter) => XdrWriter,
    read?: (reply: XdrReader, stream: Buffer) => T,
    more?: More,
  ): Promise<T> {
    try {
      return await ask(procedure, `${call} ${named(uuid)}`, args(dom(uuid)).done(), read, more)
    } catch (error) {
      if (isNoDomain(error)) names.delete(uuid)
      throw error
    }
  }

  function readRef(reply: XdrReader): { name: string; uuid: string; id: number } {
    const ref = { name: reply.string(), uuid: uuidOf(reply.fixed(16)), id: reply.int() }
    names.set(ref.uuid, ref.name)
    return ref
  }

  function readEvent(procedure: number, message: XdrReader): LibvirtEvent | undefined {
    const kind = Object.entries(events).find(([, { message: number }]) => number === procedure)?.[0]
    if (!kind) return undefined
    message.int() // the registration it belongs to
    const { uuid, name, id } = readRef(message)
    if (kind === 'lifecycle') {
      const event = LIFECYCLE[message.int()]
      if (!event) return undefined
      if (event === 'undefined') names.delete(uuid)
      return { kind, uuid, name, id, event, reason: LIFECYCLE_DETAILS[event][message.int()] ?? 'unknown' }
    }
    if (kind === 'deviceRemoved') return { kind: 'device-removed', uuid, name, alias: message.string() }
    if (kind === 'deviceRemovalFailed') return { kind: 'device-removal-failed', uuid, name, alias: message.string() }
    const disk = message.string()
    message.int() // the type of the job
    return { kind: 'disk-job', uuid, name, disk, status: DISK_JOB_STATES[message.int()] ?? 'failed' }
  }

  function onEvent(listener: (event: LibvirtEvent) => void): () => void {
    listeners.add(listener)
    if (connection.isUp) setImmediate(() => listeners.has(listener) && listener({ kind: 'connection', up: true }))
    connection.keep()
    return () => listeners.delete(listener)
  }

  return { ask, onDomain, named, readRef, onEvent, long: { timeoutMs: timeoutMs * 10 }, close: () => connection.close() }
}

export const noArgs = (writer: XdrWriter) => writer
export const noFlags = (writer: XdrWriter) => writer.int(0)
export const quiet = { quiet: true }

export const uuidOf = (bytes: Buffer) => bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

export function bytesOf(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex')
  // The protocol has room for 16 bytes and nothing else: another number of them would be read as something else.
  if (bytes.length !== 16) throw libvirtFault(libvirtError.invalidArgument, `"${uuid}" is no uuid`, 'lookup')
  return bytes
}
