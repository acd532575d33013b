import { badRequest } from '../../kernel/errors/errors.ts'

/** ms since the epoch, or NaN; a time without a zone is in UTC, wherever this machine is. */
export const momentOf = (time: string): number => Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(time) ? time : `${time}Z`)

/** ms since the epoch. @throws Fault 400 for a time that is none, or over */
export function future(expiresAt: string): number {
  const at = momentOf(expiresAt)
  if (Number.isNaN(at)) throw badRequest(`expires_at ${expiresAt} is no time in ISO 8601.`)
  if (at <= Date.now()) throw badRequest(`expires_at ${expiresAt} is over.`)
  return at
}

/** As Keystone prints a moment of a token: with six decimals. */
export const micro = (at: number): string => new Date(at).toISOString().replace('Z', '000Z')
