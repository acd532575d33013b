import { randomUUID } from 'node:crypto'
import { timestamp, toJson } from '../../kernel/db/columns.ts'
import type { Handle } from '../db/handle.ts'
import type { Condition } from '../db/list.ts'
import { rowsWhere } from '../db/rows.ts'
import type { AgentRow } from '../db/tables.ts'
import { mutate, type NetworkContext } from './context.ts'
import { missing } from './noun.ts'

/** ms without a report after which an agent counts as gone; they report every 30 s. */
const DOWN_MS = 75_000

export type Agent = AgentRow & { alive: boolean }
export const isAlive = (agent: AgentRow) => Date.now() - Date.parse(agent.heartbeat_at) < DOWN_MS
const dressed = (row: AgentRow): Agent => ({ ...row, alive: isAlive(row) })

/** Answers whether it has just been started. */
export async function agentReported(
  context: NetworkContext,
  report: { host: string; binary: string; agentType: string; configurations: Record<string, unknown>; startedAt: string },
): Promise<boolean> {
  const at = timestamp()
  const columns = { binary: report.binary, configurations: toJson(report.configurations), started_at: report.startedAt, heartbeat_at: at }
  // that it lives is said again before long
  const lives = await context.database.soon((db) =>
    db
      .updateTable('agents')
      .set(columns)
      .where('host', '=', report.host)
      .where('agent_type', '=', report.agentType)
      .where('started_at', '=', report.startedAt)
      .executeTakeFirst(),
  )
  if (lives.numUpdatedRows > 0n) return false
  return await mutate(context, [], async ({ trx }) => {
    const [before] = (await rowsWhere(trx, 'agents', 'host', [report.host])).filter((one) => one.agent_type === report.agentType)
    const started = before?.started_at !== report.startedAt
    const known = await trx
      .updateTable('agents')
      .set(columns)
      .where('host', '=', report.host)
      .where('agent_type', '=', report.agentType)
      .executeTakeFirst()
    if (known.numUpdatedRows > 0n) return started
    const row: AgentRow = {
      id: randomUUID(),
      host: report.host,
      agent_type: report.agentType,
      description: '',
      admin_state_up: 1,
      created_at: at,
      ...columns,
    }
    await trx.insertInto('agents').values(row).execute()
    return started
  })
}

export async function listAgents({ database }: NetworkContext, filters: Condition[] = []): Promise<Agent[]> {
  let query: any = database.db.selectFrom('agents').selectAll()
  for (const filter of filters) query = filter(query)
  return ((await query.orderBy('created_at').orderBy('id').execute()) as AgentRow[]).map(dressed)
}

/** @throws Fault 404 */
export async function agentById({ database }: NetworkContext, id: string): Promise<Agent> {
  const [row] = await rowsWhere(database.db, 'agents', 'id', [id])
  if (!row) throw missing({ type: 'Agent' }, id)
  return dressed(row)
}

export async function updateAgent(
  context: NetworkContext,
  agent: Agent,
  change: { admin_state_up?: boolean; description?: string | null },
): Promise<Agent> {
  const columns = {
    admin_state_up: Number(change.admin_state_up ?? agent.admin_state_up === 1),
    description: change.description === undefined ? agent.description : (change.description ?? ''),
  }
  await context.database.db.updateTable('agents').set(columns).where('id', '=', agent.id).execute()
  return { ...agent, ...columns }
}

export async function deleteAgent({ database }: NetworkContext, agent: Agent): Promise<void> {
  await database.db.deleteFrom('agents').where('id', '=', agent.id).execute()
}

/** Those of `hosts` on which ports can be plugged now. */
export async function withSwitch(db: Handle, hosts: string[]): Promise<Set<string>> {
  const agents = await rowsWhere(db, 'agents', 'host', hosts)
  return new Set(agents.filter((agent) => agent.agent_type === 'Open vSwitch agent' && isAlive(agent)).map((agent) => agent.host))
}
