import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import type { Route } from '../../kernel/http/route.ts'
import { Extension } from './answers.ts'

/** What this API does beyond networks, subnets and ports: clients ask before they use it. */
const EXTENSIONS: Record<string, [name: string, description: string]> = {
  agent: ['agent', 'The agent management extension.'],
  'allowed-address-pairs': ['Allowed Address Pairs', 'Provides allowed address pairs'],
  'auto-allocated-topology': ['Auto Allocated Topology Services', 'Auto Allocated Topology Services.'],
  availability_zone: ['Availability Zone', 'The availability zone extension.'],
  binding: ['Port Binding', 'Expose port bindings of a virtual port to external application'],
  dhcp_agent_scheduler: ['DHCP Agent Scheduler', 'Schedule networks among dhcp agents'],
  'dns-integration': ['DNS Integration', 'Provides integration with DNS.'],
  'empty-string-filtering': ['Empty String Filtering Extension', 'Allow filtering by attributes with empty string value'],
  'ext-gw-mode': [
    'Neutron L3 Configurable external gateway mode',
    'Extension of the router abstraction for specifying whether SNAT should occur',
  ],
  'external-net': ['Neutron external network', 'Adds external network attribute to network resource.'],
  extra_dhcp_opt: ['Neutron Extra DHCP options', 'Extra options configuration for DHCP.'],
  extraroute: ['Neutron Extra Route', 'Extra routes configuration for L3 router'],
  'extraroute-atomic': [
    'Atomically add/remove extra routes',
    'Edit extra routes of a router on server side by atomically adding/removing extra routes',
  ],
  'ip-substring-filtering': ['IP address substring filtering', 'Provides IP address substring filtering when listing ports'],
  l3_agent_scheduler: ['L3 Agent Scheduler', 'Schedule routers among l3 agents'],
  'net-mtu': ['Network MTU', 'Provides MTU attribute for a network resource.'],
  'net-mtu-writable': ['Network MTU (writable)', 'Provides a writable MTU attribute for a network resource.'],
  network_availability_zone: ['Network Availability Zone', 'Availability zone support for network.'],
  'network-ip-availability': ['Network IP Availability', 'Provides IP availability data for each network and subnet.'],
  pagination: ['Pagination support', 'Extension that indicates that pagination is enabled.'],
  'port-security': ['Port Security', 'Provides port security'],
  'port-security-groups-filtering': ['Port filtering on security groups', 'Provides security groups filtering when listing ports'],
  'project-id': ['project_id field enabled', 'Extension that indicates that project_id field is enabled.'],
  provider: ['Provider Network', 'Expose mapping of virtual networks to physical networks'],
  quotas: ['Quota management support', 'Expose functions for quotas management per project'],
  quota_details: ['Quota details management support', 'Expose functions for quotas usage statistics per project'],
  router: [
    'Neutron L3 Router',
    'Router abstraction for basic L3 forwarding between L2 Neutron networks and access to external networks via a NAT gateway.',
  ],
  router_availability_zone: ['Router Availability Zone', 'Availability zone support for router.'],
  'security-group': ['security-group', 'The security groups extension.'],
  'service-type': ['Neutron Service Type Management', 'API for retrieving service providers for Neutron advanced services'],
  sorting: ['Sorting support', 'Extension that indicates that sorting is enabled.'],
  'standard-attr-description': ['standard-attr-description', 'Extension to add descriptions to standard attributes'],
  'standard-attr-revisions': ['Resource revision numbers', 'This extension will display the revision number of neutron resources.'],
  'standard-attr-tag': ['Tag support for resources with standard attribute', 'Enables to set tag on resources with standard attribute.'],
  subnet_allocation: ['Subnet Allocation', 'Enables allocation of subnets from a subnet pool'],
  'default-subnetpools': ['Default Subnetpools', 'Provides ability to mark and use a subnetpool as the default.'],
  'standard-attr-timestamp': [
    'Resource timestamps',
    'Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.',
  ],
}

const view = (alias: string) => ({
  alias,
  name: EXTENSIONS[alias]![0],
  description: EXTENSIONS[alias]![1],
  updated: '2016-01-01T00:00:00-00:00',
  links: [],
})

export const extensionRoutes = (): Route[] => [
  {
    method: 'GET',
    path: '/extensions',
    doc: 'List what this API does beyond its core',
    policy: 'regular_user',
    response: Type.Object({ extensions: Type.Array(Extension) }),
    handler: () => ({ extensions: Object.keys(EXTENSIONS).map(view) }),
  },
  {
    method: 'GET',
    path: '/extensions/:id',
    doc: 'Show one extension by its alias',
    policy: 'regular_user',
    response: Type.Object({ extension: Extension }),
    handler({ params }) {
      if (!Object.hasOwn(EXTENSIONS, params.id!)) throw notFound(`Extension with alias ${params.id} does not exist`, 'HTTPNotFound')
      return { extension: view(params.id!) }
    },
  },
]
