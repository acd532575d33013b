import { createHash } from 'node:crypto'
import { fromJson } from '../../kernel/db/columns.ts'
import type { ApiRequest } from '../../kernel/http/route.ts'
import type { ComputeContext } from '../app/context.ts'
import { type Host, listHosts } from '../app/host.ts'
import { domainNameOf, flavorOf, requestOf, vifsOf } from '../app/instance-spec.ts'
import type { BlockDeviceRow, InstanceRow } from '../app/rows.ts'
import { statusOf } from '../app/server-state.ts'
import type { FlavorSpec, Vif } from '../rpc.ts'
import { links, micro, seconds } from './common.ts'

const WITH_PROGRESS = new Set(['ACTIVE', 'BUILD', 'REBUILD', 'RESIZE', 'VERIFY_RESIZE', 'MIGRATING'])

export const serverSummary = (request: ApiRequest, row: InstanceRow) => ({
  id: row.id,
  name: row.name,
  links: links(request, `/servers/${row.id}`),
})

/** One server in full, as the request's microversion shows it. `hostStatus` is known to administrators. */
export function serverView(request: ApiRequest, row: InstanceRow, devices: BlockDeviceRow[], hostStatus: string | null) {
  const { version } = request
  const status = statusOf(row)
  const volumeBoot = devices.some((one) => one.boot_index !== null && Number(one.boot_index) === 0)
  const extended = request.allowed('os_compute_api:os-extended-server-attributes', { project_id: row.project_id })
  const fault = fromJson(row.fault_json)
  const vifs = vifsOf(row)
  return {
    ...serverSummary(request, row),
    status,
    tenant_id: row.project_id,
    user_id: row.user_id,
    metadata: fromJson(row.metadata_json),
    hostId: hostIdOf(row.project_id, row.host),
    image: row.image_id && !volumeBoot ? { id: row.image_id, links: [links(request, `/images/${row.image_id}`)[1]] } : '',
    flavor: flavorView(request, flavorOf(row)),
    created: seconds(row.created_at),
    updated: seconds(row.updated_at),
    addresses: addressesOf(vifs),
    accessIPv4: row.access_ipv4 ?? '',
    accessIPv6: row.access_ipv6 ?? '',
    'OS-DCF:diskConfig': row.auto_disk_config ? 'AUTO' : 'MANUAL',
    ...(WITH_PROGRESS.has(status) ? { progress: row.progress } : {}),
    'OS-EXT-AZ:availability_zone': row.zone ?? row.requested_zone ?? '',
    config_drive: row.config_drive ? 'True' : '',
    key_name: row.key_name,
    'OS-SRV-USG:launched_at': micro(row.launched_at),
    'OS-SRV-USG:terminated_at': micro(row.terminated_at),
    'OS-EXT-STS:task_state': row.task_state,
    'OS-EXT-STS:vm_state': row.vm_state === 'resized' ? 'resized' : row.vm_state,
    'OS-EXT-STS:power_state': row.power_state,
    'os-extended-volumes:volumes_attached': devices
      .filter((one) => one.volume_id)
      .map((one) => ({ id: one.volume_id, ...(version.atLeast('2.3') ? { delete_on_termination: one.delete_on_termination === 1 } : {}) })),
    ...groupsView(row, vifs),
    ...(fault && (status === 'ERROR' || status === 'DELETED') ? { fault: faultView(request, fault) } : {}),
    ...(extended ? extendedView(request, row, devices) : {}),
    ...(version.atLeast('2.9') ? { locked: row.locked === 1 } : {}),
    ...(version.atLeast('2.16') && hostStatus !== null ? { host_status: hostStatus } : {}),
    ...(version.atLeast('2.19') ? { description: row.description } : {}),
    ...(version.atLeast('2.26') ? { tags: fromJson(row.tags_json) } : {}),
    ...(version.atLeast('2.63') ? { trusted_image_certificates: requestOf(row).trustedCertificates } : {}),
    ...(version.atLeast('2.71') ? { server_groups: row.group_id ? [row.group_id] : [] } : {}),
    ...(version.atLeast('2.73') ? { locked_reason: row.locked_reason } : {}),
    ...(version.atLeast('2.90') ? { 'OS-EXT-SRV-ATTR:hostname': row.hostname } : {}),
  }
}

/** Tells a project's hosts apart, but not which ones they are. */
export function hostIdOf(projectId: string, host: string | null): string {
  if (!host) return ''
  const of = `${projectId}${host}`
  const id = hostIds.get(of) ?? createHash('sha224').update(of).digest('hex')
  if (hostIds.size > 10_000) hostIds.clear()
  hostIds.set(of, id)
  return id
}
const hostIds = new Map<string, string>()

/** A host's state in one word, for whoever may know it; null for others. */
export async function hostStatuses(context: ComputeContext, request: ApiRequest): Promise<(host: string | null) => string | null> {
  if (!request.version.atLeast('2.16') || !request.allowed('os_compute_api:servers:show:host_status')) return () => null
  const hosts = await listHosts(context)
  const word = (one: Host) => (one.forced_down ? 'DOWN' : one.disabled ? 'MAINTENANCE' : one.up ? 'UP' : 'UNKNOWN')
  const status = new Map(hosts.map((one) => [one.host, word(one)]))
  return (host) => status.get(host ?? '') ?? ''
}

interface View {
  id: string
  [attribute: string]: unknown
}

/** What answers to a change did not have before 2.75, though a server that is shown has it. */
const SHOWN_ONLY = /^(OS-EXT-(AZ|STS|SRV-ATTR):|OS-SRV-USG:|os-extended-volumes:|(config_drive|key_name|security_groups|host_status)$)/

/** A server as the answer to a change of it shows it: before 2.75 less than a server that is asked for. */
export function changedView(request: ApiRequest, row: InstanceRow, devices: BlockDeviceRow[], hostStatus: string | null): View {
  const view = serverView(request, row, devices, hostStatus)
  if (request.version.atLeast('2.75')) return view
  const addresses = Object.fromEntries(
    Object.entries(view.addresses).map(([label, list]) => [label, list.map(({ version, addr }) => ({ version, addr }))]),
  )
  return { ...Object.fromEntries(Object.entries(view).filter(([name]) => !SHOWN_ONLY.test(name))), id: row.id, addresses }
}

function extendedView(request: ApiRequest, row: InstanceRow, devices: BlockDeviceRow[]) {
  return {
    'OS-EXT-SRV-ATTR:host': row.host,
    'OS-EXT-SRV-ATTR:hypervisor_hostname': row.node,
    'OS-EXT-SRV-ATTR:instance_name': domainNameOf(Number(row.number)),
    ...(request.version.atLeast('2.3')
      ? {
          'OS-EXT-SRV-ATTR:reservation_id': row.reservation_id,
          'OS-EXT-SRV-ATTR:launch_index': row.launch_index,
          'OS-EXT-SRV-ATTR:hostname': row.hostname,
          'OS-EXT-SRV-ATTR:kernel_id': '',
          'OS-EXT-SRV-ATTR:ramdisk_id': '',
          'OS-EXT-SRV-ATTR:root_device_name': row.image_id || devices.length > 0 ? '/dev/vda' : null,
          'OS-EXT-SRV-ATTR:user_data': row.user_data,
        }
      : {}),
  }
}

/** The details are for operators: they name hosts. */
const faultView = (request: ApiRequest, fault: { code: number; message: string; details: object; created: string }) => ({
  code: fault.code,
  created: seconds(fault.created),
  message: fault.message,
  ...(request.context.isAdmin && Object.keys(fault.details ?? {}).length > 0 ? { details: JSON.stringify(fault.details) } : {}),
})

function groupsView(row: InstanceRow, vifs: Vif[]) {
  const without = vifs.every((vif) => vif.securityGroups?.length === 0)
  if (without && (vifs.length > 0 || row.vm_state !== 'building')) return {}
  const groups = fromJson<{ name: string }[]>(row.security_groups_json)
  return { security_groups: groups.length > 0 ? groups.map(({ name }) => ({ name })) : [{ name: 'default' }] }
}

export function flavorView(request: ApiRequest, flavor: FlavorSpec) {
  if (!request.version.atLeast('2.47')) return { id: flavor.id, links: [links(request, `/flavors/${flavor.id}`)[1]] }
  return {
    vcpus: flavor.vcpus,
    ram: flavor.ramMiB,
    disk: flavor.rootGiB,
    ephemeral: flavor.ephemeralGiB,
    swap: flavor.swapMiB,
    original_name: flavor.name,
    extra_specs: flavor.extraSpecs,
  }
}

interface Address {
  version: number
  addr: string
  'OS-EXT-IPS:type': string
  'OS-EXT-IPS-MAC:mac_addr': string
}

/** Network → its addresses, fixed ones and the floating ones behind which they are. */
export function addressesOf(vifs: Vif[]): Record<string, Address[]> {
  const addresses: Record<string, Address[]> = Object.create(null) // a network may be called constructor
  for (const vif of vifs) {
    const list = addresses[vif.network.label] ?? []
    addresses[vif.network.label] = list
    const entry = (addr: string, version: number, type: string) =>
      list.push({ version, addr, 'OS-EXT-IPS:type': type, 'OS-EXT-IPS-MAC:mac_addr': vif.macAddress })
    for (const subnet of vif.subnets)
      for (const address of subnet.addresses) {
        entry(address, subnet.ipVersion, 'fixed')
        for (const floating of vif.floatingIps?.[address] ?? []) entry(floating, 4, 'floating')
      }
  }
  return addresses
}
