import { Fault } from '../../../kernel/errors/errors.ts'
import type { Route } from '../../../kernel/http/route.ts'

interface Gone {
  /** What it was about. */
  what: string
  methods: string
  path: string
  /** Of POST …/action. */
  actions?: string
}

/** What this API once had and answers 410 since; whoever has a token is told so. */
const GONE: Gone[] = [
  { what: "agents in XenServer's guests", path: '/os-agents', methods: 'GET POST' },
  { what: "agents in XenServer's guests", path: '/os-agents/:id', methods: 'PUT DELETE' },
  { what: 'cells', path: '/os-cells', methods: 'GET POST' },
  ...['capacities', 'detail', 'info'].map((part) => ({ what: 'cells', path: `/os-cells/${part}`, methods: 'GET' })),
  { what: 'cells', path: '/os-cells/sync_instances', methods: 'POST' },
  { what: 'cells', path: '/os-cells/:id', methods: 'GET PUT DELETE' },
  { what: 'cells', path: '/os-cells/:id/capacities', methods: 'GET' },
  { what: 'certificates of the compute service', path: '/os-certificates', methods: 'POST' },
  { what: 'certificates of the compute service', path: '/os-certificates/:id', methods: 'GET' },
  { what: 'VPN servers of projects', path: '/os-cloudpipe', methods: 'GET POST' },
  { what: 'VPN servers of projects', path: '/os-cloudpipe/:id', methods: 'PUT' },
  { what: "XenServer's consoles", path: '/servers/:server_id/consoles', methods: 'GET POST' },
  { what: "XenServer's consoles", path: '/servers/:server_id/consoles/:id', methods: 'GET DELETE' },
  { what: 'fixed IPs of the compute service', path: '/os-fixed-ips/:id', methods: 'GET' },
  { what: 'fixed IPs of the compute service', path: '/os-fixed-ips/:id/action', methods: 'POST', actions: 'reserve unreserve' },
  { what: 'names of floating IPs', path: '/os-floating-ip-dns', methods: 'GET' },
  { what: 'names of floating IPs', path: '/os-floating-ip-dns/:id', methods: 'PUT DELETE' },
  { what: 'names of floating IPs', path: '/os-floating-ip-dns/:domain_id/entries/:id', methods: 'GET PUT DELETE' },
  { what: 'floating IPs by the range', path: '/os-floating-ips-bulk', methods: 'GET POST' },
  { what: 'floating IPs by the range', path: '/os-floating-ips-bulk/:id', methods: 'GET PUT' },
  { what: 'pinging of servers', path: '/os-fping', methods: 'GET' },
  { what: 'pinging of servers', path: '/os-fping/:id', methods: 'GET' },
  { what: 'rules of new security groups', path: '/os-security-group-default-rules', methods: 'GET POST' },
  { what: 'rules of new security groups', path: '/os-security-group-default-rules/:id', methods: 'GET DELETE' },
  { what: 'network cards of the compute service', path: '/servers/:server_id/os-virtual-interfaces', methods: 'GET' },
  { what: 'networks of the compute service', path: '/os-networks', methods: 'POST' },
  { what: 'networks of the compute service', path: '/os-networks/add', methods: 'POST' },
  { what: 'networks of the compute service', path: '/os-networks/:id', methods: 'DELETE' },
  {
    what: 'networks of the compute service',
    path: '/os-networks/:id/action',
    methods: 'POST',
    actions: 'disassociate disassociate_host disassociate_project associate_host',
  },
  { what: 'networks of the compute service', path: '/os-tenant-networks', methods: 'POST' },
  { what: 'networks of the compute service', path: '/os-tenant-networks/:id', methods: 'DELETE' },
]

export const goneRoutes: Route[] = GONE.flatMap(({ what, methods, path, actions }) =>
  methods.split(' ').flatMap((method) =>
    (actions?.split(' ') ?? [undefined]).map(
      (action): Route => ({
        method: method as Route['method'],
        path,
        ...(action ? { action } : {}),
        doc: `Removed: ${what}`,
        policy: 'os_compute_api:yun-removed',
        response: 'nothing',
        handler() {
          throw new Fault(410, 'Gone', `This resource is no longer available: ${what} were removed from the compute API.`)
        },
      }),
    ),
  ),
)
