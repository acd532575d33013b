import { fromJson, toJson } from '../../kernel/db/columns.ts'
import { notFound } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { PortDocument, SecurityGroupDocument } from '../../network/client.ts'
import { updateInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'
import { networkChanged } from './network-changed.ts'
import { as } from './wanted-networks.ts'

/** The groups of a server are those of its ports; the names are kept in its row, so that lists need not ask the network service. */
export async function groupsOf(context: ComputeContext, request: RequestContext, row: InstanceRow): Promise<SecurityGroupDocument[]> {
  return await amongPorts(context, row, await projectsGroups(context, request, row))
}

export async function addSecurityGroup(context: ComputeContext, request: RequestContext, row: InstanceRow, name: string): Promise<void> {
  const groups = await projectsGroups(context, request, row)
  const group = named(groups, row, name)
  const ports = await context.networks.ports({ device_id: row.id })
  await change(context, group, 'add', ports)
  await keepNames(context, row, groups)
}

export async function removeSecurityGroup(context: ComputeContext, request: RequestContext, row: InstanceRow, name: string): Promise<void> {
  const groups = await projectsGroups(context, request, row)
  const group = named(groups, row, name)
  const ports = (await context.networks.ports({ device_id: row.id })).filter((port) => port.security_groups.includes(group.id))
  if (ports.length === 0)
    throw notFound(`Security group ${name} is not associated with the instance ${row.id}.`, 'SecurityGroupNotExistsForInstance')
  await change(context, group, 'remove', ports)
  await keepNames(context, row, groups)
}

const projectsGroups = (context: ComputeContext, request: RequestContext, row: InstanceRow) =>
  context.networks.securityGroups({ project_id: row.project_id }, as(request))

/** Those of these groups in which ports of the server are. */
async function amongPorts(context: ComputeContext, row: InstanceRow, groups: SecurityGroupDocument[]): Promise<SecurityGroupDocument[]> {
  const ports = await context.networks.ports({ device_id: row.id })
  const ids = new Set(ports.flatMap((port) => port.security_groups))
  return groups.filter((one) => ids.has(one.id))
}

function named(groups: SecurityGroupDocument[], row: InstanceRow, name: string): SecurityGroupDocument {
  const group = groups.find((one) => one.id === name || one.name === name)
  if (!group) throw notFound(`Security group ${name} not found for project ${row.project_id}.`, 'SecurityGroupNotFound')
  return group
}

async function change(context: ComputeContext, { id }: SecurityGroupDocument, how: 'add' | 'remove', ports: PortDocument[]): Promise<void> {
  const ids = ports.map((port) => port.id)
  if (ids.length > 0) await context.networks.changeMembers(id, how, ids)
}

async function keepNames(context: ComputeContext, row: InstanceRow, all: SecurityGroupDocument[]): Promise<void> {
  const groups = (await amongPorts(context, row, all)).map(({ id, name }) => ({ id, name }))
  if (toJson(groups) !== toJson(fromJson(row.security_groups_json)))
    await updateInstance(context.database.db, row.id, { security_groups_json: toJson(groups) })
  await networkChanged(context, row.id)
}
