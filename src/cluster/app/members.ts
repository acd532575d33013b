import { members } from '../db/members.ts'
import type { ClusterContext } from './context.ts'

export async function listMembers({ database }: ClusterContext): Promise<{ host: string; roles: string[]; joined_at: string }[]> {
  const rows = await members(database.db)
  return rows.map(({ host, roles, joined_at }) => ({ host, roles: roles.split(','), joined_at }))
}
