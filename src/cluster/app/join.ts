import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, notFound, unauthorized } from '../../kernel/errors/errors.ts'
import { keepMember, keepToken, memberOf, removeMember, useToken } from '../db/members.ts'
import type { ClusterContext, HostShare } from './context.ts'

const LIFE_MS = 3_600_000
const digestOf = (secret: string) => createHash('sha256').update(secret).digest('hex')
/** Hexadecimal: as a program's argument it is no flag. */
const fresh = () => randomBytes(24).toString('hex')

/** Lets one host join, within an hour. */
export async function createJoinToken({ database }: ClusterContext): Promise<{ token: string; expires_at: string }> {
  const token = fresh()
  const expires_at = timestamp(Date.now() + LIFE_MS)
  await keepToken(database.db, digestOf(token), expires_at)
  return { token, expires_at }
}

export interface Joined extends HostShare {
  host: string
  /** With it the host is let on the bus. */
  secret: string
}

/** @throws Fault 401 for a token that is unknown, used or too old; 400 for a name that cannot be part of a topic */
export async function join(context: ClusterContext, request: { token: string; host: string; roles: string[] }): Promise<Joined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(request.host)) throw badRequest(`"${request.host}" is no host name: letters, digits and - only.`)
  if (!(await useToken(context.database.db, digestOf(request.token), request.host)))
    throw unauthorized('This join token is unknown, used or older than an hour: make one with yun join-token on a control host.')
  const secret = fresh()
  await context.database.transaction((trx) =>
    keepMember(trx, { host: request.host, roles: request.roles.join(','), secret_digest: digestOf(secret), joined_at: timestamp() }),
  )
  return { host: request.host, secret, ...context.share }
}

/** The host whose secret this is. @throws Fault 401 */
export async function hostOf({ database }: ClusterContext, name: string, secret: string): Promise<string> {
  const member = await memberOf(database.db, name)
  if (!member || !timingSafeEqual(Buffer.from(member.secret_digest), Buffer.from(digestOf(secret))))
    throw unauthorized(`host ${name} does not belong to this cloud: let it join again with a new token`)
  return member.host
}

/** @throws Fault 404 */
export async function expel({ database }: ClusterContext, host: string): Promise<void> {
  if (!(await removeMember(database.db, host))) throw notFound(`No host ${host} has joined.`)
}
