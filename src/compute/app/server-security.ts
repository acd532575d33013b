import { fromJson, toJson } from '../../kernel/db/columns.ts'
import { notFound } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { updateInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'
import { networkChanged } from './network-changed.ts'
import { as, type SecurityGroup } from './wanted-networks.ts'

/** The groups of a server are those of its ports; the names are kept in its row, so that lists need not ask the network service. */
export async function groupsOf(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<any[]> {
  const ports = await context.networks.ports({ device_id: row.id })
  const ids = new Set(ports.flatMap((port: any) => port.security_groups as string[]))
  const groups = await context.networks.securityGroups({ project_id: row.project_id }, as(request))
  return groups.filter((one: any) => ids.has(one.id))
}

export async function addSecurityGroup(context: ComputeContext, request: RequestContext, row: InstanceRow, name: string): Promise<void> {
  const group = await groupNamed(context, request, row, name)
  for (const port of await context.networks.ports({ device_id: row.id }))
    if (!port.security_groups.includes(group.id))
      await context.networks.updatePort(port.id, { security_groups: [...port.security_groups, group.id] })
  await keepNames(context, request, row)
}

export async function removeSecurityGroup(context: ComputeContext, request: RequestContext, row: InstanceRow, name: string): Promise<void> {
  const group = await groupNamed(context, request, row, name)
  const ports = (await context.networks.ports({ device_id: row.id })).filter((port: any) => port.security_groups.includes(group.id))
  if (ports.length === 0)
    throw notFound(`Security group ${name} is not associated with the instance ${row.id}.`, 'SecurityGroupNotExistsForInstance')
  for (const port of ports)
    await context.networks.updatePort(port.id, { security_groups: port.security_groups.filter((id: string) => id !== group.id) })
  await keepNames(context, request, row)
}

async function groupNamed(context: ComputeContext, request: RequestContext, row: InstanceRow, name: string): Promise<SecurityGroup> {
  const groups = await context.networks.securityGroups({ project_id: row.project_id }, as(request))
  const group = groups.find((one: any) => one.id === name || one.name === name)
  if (!group) throw notFound(`Security group ${name} not found for project ${row.project_id}.`, 'SecurityGroupNotFound')
  return { id: group.id, name: group.name }
}

async function keepNames(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<void> {
  const groups = (await groupsOf(context, request, row)).map(({ id, name }) => ({ id, name }))
  if (toJson(groups) !== toJson(fromJson(row.security_groups_json)))
    await updateInstance(context.database.db, row.id, { security_groups_json: toJson(groups) })
  await networkChanged(context, row.id)
}
