import { badRequest } from '../../kernel/errors/errors.ts'

/** ms since the epoch; a time without a zone is in UTC. @throws Fault 400 for a time that is none, or over */
export function future(expiresAt: string): number {
  const at = Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(expiresAt) ? expiresAt : `${expiresAt}Z`)
  if (Number.isNaN(at)) throw badRequest(`expires_at ${expiresAt} is no time in ISO 8601.`)
  if (at <= Date.now()) throw badRequest(`expires_at ${expiresAt} is over.`)
  return at
}
