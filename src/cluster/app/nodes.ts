import { sql } from 'kysely'
import type { Database } from '../../kernel/db/database.ts'

export interface DatabaseNodes {
  kind: 'sqlite' | 'mariadb' | 'galera'
  nodes: { name: string; state: string }[]
  /** Nodes that are in the cluster now. */
  size: number | null
}

/** What this process sees of its database: of a Galera cluster the members, and how the node is that it uses. */
export async function databaseNodes({ dialect, db }: Database<any>): Promise<DatabaseNodes> {
  if (dialect === 'sqlite') return { kind: 'sqlite', nodes: [], size: null }
  const { rows } = await sql<{ Variable_name: string; Value: string }>`show global status like 'wsrep_%'`.execute(db)
  const status = new Map(rows.map((row) => [row.Variable_name.toLowerCase(), row.Value]))
  const addresses = (status.get('wsrep_incoming_addresses') ?? '').split(',').filter((one) => one && one !== 'AUTO')
  if (!status.get('wsrep_cluster_size') || Number(status.get('wsrep_cluster_size')) === 0) return { kind: 'mariadb', nodes: [], size: null }
  return {
    kind: 'galera',
    nodes: addresses.map((name) => ({ name, state: 'in the cluster' })),
    size: Number(status.get('wsrep_cluster_size')),
  }
}
