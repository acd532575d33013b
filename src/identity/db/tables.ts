/** Domains are projects that act as domains, as in Keystone. Flags are 0 or 1. */
export interface IdentityTables {
  projects: {
    id: string
    name: string
    domain_id: string | null
    parent_id: string | null
    description: string
    enabled: number
    is_domain: number
    /** Null: none. */
    tags_json: string | null
    extra_json: string | null
    /** Null: none is set. */
    options_json: string | null
  }
  users: {
    id: string
    name: string
    domain_id: string
    default_project_id: string | null
    description: string | null
    email: string | null
    enabled: number
    password_hash: string | null
    password_changed_at: string | null
    /** Wrong passwords since the last right one, and when the last of them came. */
    failures: number
    failed_at: string | null
    extra_json: string | null
    /** Null: none is set. */
    options_json: string | null
  }
  /** Passwords that a user had before. */
  old_passwords: { id: string; user_id: string; password_hash: string; replaced_at: string }
  /** `roles_json`: ids. */
  application_credentials: {
    id: string
    name: string
    user_id: string
    project_id: string
    description: string | null
    secret_hash: string
    expires_at: string | null
    unrestricted: number
    roles_json: string
  }
  /** What users have for other protocols; `blob` is sealed. An access key's id is its SHA-256. */
  credentials: { id: string; user_id: string; project_id: string | null; type: string; blob: string }
  /** Documents that some other service reads. */
  policies: { id: string; type: string; blob: string }
  /** `roles_json`: ids; times end in Z; `remaining_uses` null: any number. */
  trusts: {
    id: string
    trustor_user_id: string
    trustee_user_id: string
    project_id: string | null
    impersonation: number
    expires_at: string | null
    remaining_uses: number | null
    redelegation_count: number
    redelegated_trust_id: string | null
    roles_json: string
  }
  groups: {
    id: string
    name: string
    domain_id: string
    description: string
    /** 1: it is none, and not an empty text. */
    description_is_null: number
    extra_json: string | null
  }
  memberships: { group_id: string; user_id: string }
  roles: {
    id: string
    name: string
    domain_id: string | null
    description: string | null
    extra_json: string | null
    options_json: string | null
  }
  implied_roles: { prior_id: string; implied_id: string }
  assignments: { actor_kind: string; actor_id: string; target_kind: string; target_id: string; role_id: string; inherited: number }
  regions: { id: string; parent_id: string | null; description: string }
  services: { id: string; type: string; name: string; description: string; enabled: number }
  endpoints: { id: string; service_id: string; region_id: string | null; interface: string; url: string; enabled: number }
  /** A token is revoked when any row fits it: by audit id, or issued before `issued_before` for that user or project. */
  revocations: {
    id: string
    audit_id: string | null
    user_id: string | null
    project_id: string | null
    issued_before: string
    expires_at: string
  }
}
