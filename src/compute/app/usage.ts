import type { ComputeContext } from './context.ts'
import { flavorOf } from './instance-spec.ts'
import { micro } from './time.ts'

const HOUR = 3_600_000

/** Hours of vCPU, memory and disk of each project's servers between two moments (ms since the epoch). */
export async function usageReport(context: ComputeContext, from: number, until: number, projectId: string | null) {
  let query = context.database.db
    .selectFrom('instances')
    .selectAll()
    .where('created_at', '<=', new Date(until).toISOString())
    .where((eb) => eb.or([eb('terminated_at', 'is', null), eb('terminated_at', '>=', new Date(from).toISOString())]))
  if (projectId !== null) query = query.where('project_id', '=', projectId)
  const projects = Map.groupBy(await query.execute(), (row) => row.project_id)
  return [...projects].map(([id, rows]) => {
    const servers = rows.map((row) => {
      const flavor = flavorOf(row)
      const began = Date.parse(row.launched_at ?? row.created_at)
      const ended = row.terminated_at ? Date.parse(row.terminated_at) : null
      // what never ran costs nothing
      const hours = row.launched_at ? Math.max(0, Math.min(ended ?? until, until) - Math.max(began, from)) / HOUR : 0
      return {
        instance_id: row.id,
        name: row.name,
        hours,
        flavor: flavor.name,
        vcpus: flavor.vcpus,
        memory_mb: flavor.ramMiB,
        local_gb: flavor.rootGiB + flavor.ephemeralGiB,
        started_at: micro(row.launched_at ?? row.created_at),
        ended_at: micro(row.terminated_at),
        tenant_id: id,
        state: row.deleted ? 'terminated' : row.vm_state,
        uptime: Math.round((until - began) / 1000),
      }
    })
    return {
      tenant_id: id,
      start: micro(new Date(from).toISOString()),
      stop: micro(new Date(until).toISOString()),
      ...summed(servers),
    }
  })
}

export function summed<One extends { hours: number; vcpus: number; memory_mb: number; local_gb: number }>(servers: One[]) {
  const sum = (of: (one: One) => number) => servers.reduce((total, one) => total + of(one), 0)
  return {
    total_hours: sum((one) => one.hours),
    total_vcpus_usage: sum((one) => one.hours * one.vcpus),
    total_memory_mb_usage: sum((one) => one.hours * one.memory_mb),
    total_local_gb_usage: sum((one) => one.hours * one.local_gb),
    server_usages: servers,
  }
}
