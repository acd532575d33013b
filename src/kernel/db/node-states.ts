import { connectionOptions, type MysqlAddress, parseMysqlUrl } from './nodes.ts'

/** One place where a database is kept. */
export interface NodeState {
  /** host:port, or the file. */
  node: string
  /** `Synced`, `Donor/Desynced`, `Joined`, ... as Galera says; `single` for a server without a cluster, `embedded` for a file; else why it does not answer. */
  state: string
  /** Members of the cluster that this node sees; 0 when it does not answer. */
  size: number
}

/** Asks each node of a database's address; members that the address does not name are listed after them. */
export async function nodesOf(url: string): Promise<NodeState[]> {
  if (url.startsWith('sqlite:')) return [{ node: url.slice('sqlite:'.length), state: 'embedded', size: 1 }]
  const address = parseMysqlUrl(url)
  const seen = await Promise.all(address.nodes.map((_, index) => stateOf(address, index)))
  const named = new Set(address.nodes.map(({ host, port }) => `${host}:${port}`))
  const witness = seen.find((one) => one.members.length > 0)
  const others = (witness?.members ?? []).filter((member) => member && !named.has(member))
  return [
    ...seen.map(({ node, state, size }) => ({ node, state, size })),
    // a node that is named by another of its addresses is no further one
    ...(witness && witness.size > seen.filter((one) => one.size > 0).length
      ? others.map((node) => ({ node, state: 'member that the address does not name', size: witness.size }))
      : []),
  ]
}

async function stateOf(address: MysqlAddress, index: number): Promise<NodeState & { members: string[] }> {
  const { createConnection } = await import('mysql2/promise')
  const node = address.socketPath ?? `${address.nodes[index]!.host}:${address.nodes[index]!.port}`
  try {
    const connection = await createConnection(connectionOptions({ ...address, database: '' }, index))
    try {
      const [on] = await connection.query<any[]>("show variables like 'wsrep_on'")
      if (on[0]?.Value !== 'ON') return { node, state: 'single', size: 1, members: [] }
      const [rows] = await connection.query<any[]>(
        "show status where variable_name in ('wsrep_incoming_addresses','wsrep_cluster_size','wsrep_local_state_comment','wsrep_cluster_status')",
      )
      const of: Record<string, string> = Object.fromEntries(rows.map((row) => [row.Variable_name, row.Value]))
      const quorum = of.wsrep_cluster_status === 'Primary' ? '' : ` (${of.wsrep_cluster_status})`
      return {
        node,
        state: `${of.wsrep_local_state_comment}${quorum}`,
        size: Number(of.wsrep_cluster_size),
        members: (of.wsrep_incoming_addresses ?? '').split(','),
      }
    } finally {
      connection.destroy()
    }
  } catch (error) {
    return { node, state: `does not answer: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`, size: 0, members: [] }
  }
}
