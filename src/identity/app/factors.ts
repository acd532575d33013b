import { Fault } from '../../kernel/errors/errors.ts'
import { revokedBy, type UserRow } from '../db/directory.ts'
import type { IdentityContext } from './context.ts'
import { micro } from './expiry.ts'
import { seal, unseal } from './fernet.ts'
import { optionsIn } from './options.ts'

/** Ways to say who one is, as far as there are any here. */
export const METHODS = ['password', 'token', 'application_credential']

/** ms for which a receipt stands for what was shown. */
const RECEIPT_MS = 300_000
const KIND = 'receipt'

/** The user's rules, without methods that nobody has here: a rule of those alone asks for nothing. */
function rulesOf(user: UserRow): string[][] {
  const { multi_factor_auth_enabled = true, multi_factor_auth_rules = [] } = optionsIn(user)
  if (!multi_factor_auth_enabled) return []
  return multi_factor_auth_rules.map((rule) => rule.filter((method) => METHODS.includes(method))).filter((rule) => rule.length > 0)
}

/**
 * Whether what was shown is enough by one of the user's rules, if there are any.
 * @throws Fault 401 with a receipt, with which the rest may be shown within five minutes
 */
export function requireFactors(context: IdentityContext, user: UserRow, methods: string[]): void {
  const rules = rulesOf(user)
  if (rules.length === 0 || rules.some((rule) => rule.every((method) => methods.includes(method)))) return
  const now = Date.now()
  const [issuedAt, expiresAt] = [now, now + RECEIPT_MS].map(micro)
  const receipt = seal(context.keys.primary, Buffer.from(JSON.stringify([KIND, user.id, methods, issuedAt, expiresAt])))
  throw new Fault(
    401,
    'InsufficientAuthMethods',
    `Insufficient auth methods received for ${user.id}. Auth Methods Provided: [${methods.join(',')}].`,
    {
      headers: { 'Openstack-Auth-Receipt': receipt },
      body: {
        receipt: {
          methods,
          user: { id: user.id, name: user.name, domain: { id: user.domain_id, name: user.domain_name } },
          expires_at: expiresAt,
          issued_at: issuedAt,
        },
        required_auth_methods: rules.filter((rule) => rule.some((method) => methods.includes(method))),
      },
    },
  )
}

/** What was shown before. @throws Fault 401 for a receipt that is not ours, over, or somebody else's */
export async function methodsOf(context: IdentityContext, receipt: string, user: UserRow): Promise<string[]> {
  const gone = () => new Fault(401, 'Unauthorized', 'Could not find auth receipt.')
  const opened = parsed(unseal(context.keys.all, receipt)?.message)
  if (opened?.[0] !== KIND) throw gone()
  const [, userId, methods, issuedAt, expiresAt] = opened as [string, string, string[], string, string]
  if (userId !== user.id || Date.parse(expiresAt) <= Date.now()) throw gone()
  if (await revokedBy(context.database.db, { auditIds: [''], userId, projectId: null, issuedAt })) throw gone()
  return methods
}

function parsed(message: Buffer | undefined): unknown[] | null {
  try {
    const value = JSON.parse(String(message))
    return Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
