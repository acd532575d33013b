import { badRequest } from '../../kernel/errors/errors.ts'
import type { ApiRequest } from '../../kernel/http/route.ts'
import { statesOf } from '../app/server-state.ts'

/** What a list of servers may be asked for by everybody, and from which microversion on. */
const FILTERS: Record<string, string> = {
  reservation_id: '2.1',
  name: '2.1',
  status: '2.1',
  image: '2.1',
  flavor: '2.1',
  ip: '2.1',
  'changes-since': '2.1',
  all_tenants: '2.1',
  ip6: '2.5',
  tags: '2.26',
  'tags-any': '2.26',
  'not-tags': '2.26',
  'not-tags-any': '2.26',
  'changes-before': '2.66',
  locked: '2.73',
  availability_zone: '2.83',
  config_drive: '2.83',
  key_name: '2.83',
  created_at: '2.83',
  launched_at: '2.83',
  terminated_at: '2.83',
  power_state: '2.83',
  task_state: '2.83',
  vm_state: '2.83',
  progress: '2.83',
  user_id: '2.83',
  hostname: '2.90',
}
/** Newer than the filters of administrators, who are heard with any other. */
const NEWER = ['tags', 'tags-any', 'not-tags', 'not-tags-any', 'changes-before', 'locked']
const PAGE = ['limit', 'marker', 'sort_key', 'sort_dir']
const OPERATORS = [
  ...['access_ip_v4', 'access_ip_v6', 'auto_disk_config', 'created_at', 'deleted', 'description', 'display_description', 'display_name'],
  ...['host', 'hostname', 'image_ref', 'instance_type_id', 'kernel_id', 'launch_index', 'node', 'project_id', 'ramdisk_id'],
  ...['root_device_name', 'soft_deleted', 'tenant_id', 'user_id', 'uuid', 'block_device_mapping', 'security_groups', 'services'],
]

/**
 * The query of a list of servers as its microversion and its caller's role let it be; the rest is ignored, from 2.75 on refused.
 * @throws Fault 400
 */
export function serverQuery(request: ApiRequest): ApiRequest['query'] {
  const { version, context } = request
  const open = (name: string) => Object.hasOwn(FILTERS, name) && version.atLeast(FILTERS[name]!)
  const heard = (name: string) => PAGE.includes(name) || open(name) || (context.isAdmin && !NEWER.includes(name))
  const names = Object.keys(request.query)
  if (version.atLeast('2.75')) {
    const unknown = names.find((name) => !(Object.hasOwn(FILTERS, name) || OPERATORS.includes(name) || PAGE.includes(name)))
    if (unknown) throw badRequest(`Invalid input for query parameters. Additional properties are not allowed ('${unknown}' was unexpected)`)
  }
  if (version.atLeast('2.38'))
    for (const status of [request.query.status ?? []].flat()) if (statesOf(status) === null) throw badRequest('Invalid status value')
  return Object.fromEntries(Object.entries(request.query).filter(([name]) => heard(name)))
}
