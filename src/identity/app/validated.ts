import type { ApplicationCredentialRow, ProjectRow, TrustRow, UserRow } from '../db/directory.ts'

export type Scope =
  | { kind: 'project'; project: ProjectRow }
  | { kind: 'domain'; domain: { id: string; name: string } }
  | { kind: 'system' }
  | { kind: 'unscoped' }

/** What a token says, looked up. */
export interface Validated {
  user: UserRow
  scope: Scope
  roles: { id: string; name: string }[]
  methods: string[]
  auditIds: string[]
  issuedAt: string
  expiresAt: string
  /** With which it was asked for; the token can do no more than it says, and ends when it goes. */
  applicationCredential: ApplicationCredentialRow | null
  /** Through which it was asked for: the token ends with it, and when the trustor has its roles no longer. */
  trust: TrustRow | null
}
