/** Only digests of tokens and secrets are kept. */
export interface ClusterTables {
  join_tokens: {
    digest: string
    created_at: string
    expires_at: string
    /** The host that used it. */
    used_by: string | null
  }
  members: {
    host: string
    /** compute,network,storage */
    roles: string
    secret_digest: string
    joined_at: string
  }
}
