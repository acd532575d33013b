import { createHash, randomBytes } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { findInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import { computeTopic, host } from '../rpc.ts'
import type { ComputeContext } from './context.ts'
import { hostOf } from './server-state.ts'

/** ms that a console's address is good for. */
const LIFE = 600_000

const digestOf = (token: string) => createHash('sha256').update(token).digest('hex')

export async function consoleLog(context: ComputeContext, row: InstanceRow, lines: number | null): Promise<string> {
  const { output } = await context.bus.call(computeTopic(hostOf(row)), host.consoleLog, { uuid: row.id, lines })
  return output
}

/** A page that shows the guest's screen, for whoever has its address, for ten minutes. Only a digest of the token is kept. */
export async function remoteConsole(context: ComputeContext, row: InstanceRow, protocol: string): Promise<{ url: string }> {
  if (protocol !== 'vnc')
    throw badRequest(`Yun shows consoles over VNC: there is no ${protocol} console of this guest.`, 'ConsoleTypeUnavailable')
  const where = hostOf(row)
  if (row.vm_state === 'building') throw conflict(`Instance ${row.id} is not ready`, 'InstanceNotReady')
  const { host: address, port } = await screenOf(context, where, row.id)
  if (port === null)
    throw conflict(`Instance ${row.id} has no VNC console: it is not running, or its hypervisor has no screens.`, 'InstanceNotReady')
  const token = randomBytes(32).toString('base64url')
  const { db } = context.database
  await db.deleteFrom('console_tokens').where('expires_at', '<', timestamp()).execute()
  await db
    .insertInto('console_tokens')
    .values({ digest: digestOf(token), server_id: row.id, kind: 'vnc', host: address, port, expires_at: timestamp(Date.now() + LIFE) })
    .execute()
  // as noVNC's own pages are told where their socket is
  const path = `console/websockify?token=${token}`
  return { url: `${context.settings.consoleUrl}/vnc?path=${encodeURIComponent(path)}&title=${encodeURIComponent(row.name)}` }
}

/**
 * Where a token leads. The guest may have stopped, moved or gone since, and its port be another guest's: its host is asked each time.
 * @throws Fault 404 when the token is unknown or too old, or its guest no longer shows its screen there
 */
export async function consoleTarget(context: ComputeContext, token: string): Promise<{ instanceId: string; host: string; port: number }> {
  const { db } = context.database
  const row = await db
    .selectFrom('console_tokens')
    .selectAll()
    .where('digest', '=', digestOf(token))
    .where('expires_at', '>', timestamp())
    .executeTakeFirst()
  if (!row) throw notFound('The console token is unknown or expired: ask for a new console address.', 'ConsoleTokenNotFound')
  const target = { instanceId: row.server_id, host: row.host, port: Number(row.port) }
  const server = await findInstance(db, row.server_id)
  const there = server && !server.deleted && server.host !== null ? await screenOf(context, server.host, server.id) : null
  if (there?.host !== target.host || there.port !== target.port)
    throw notFound('The guest no longer shows its screen there: ask for a new console address.', 'ConsoleTokenNotFound')
  return target
}

const screenOf = (context: ComputeContext, where: string, uuid: string) =>
  context.bus.call(computeTopic(where), host.console, { uuid, kind: 'vnc' })
