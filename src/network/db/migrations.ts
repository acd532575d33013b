import { type CreateTableBuilder, type Kysely, SqliteAdapter, sql } from 'kysely'
import { flag, id, integer, name, text, time } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'

type Table = CreateTableBuilder<any, any>
type Type = typeof id

const columns = (table: Table, type: Type, ...names: string[]) =>
  names.reduce((built, column) => built.addColumn(column, type, (c) => c.notNull()), table)
const nullable = (table: Table, type: Type, ...names: string[]) => names.reduce((built, column) => built.addColumn(column, type), table)

/** A table of resources: what all have in common, before its own columns. */
function resource(db: Kysely<any>, of: string): Table {
  let table: Table = db.schema.createTable(of).addColumn('id', id, (c) => c.primaryKey())
  table = columns(table, id, 'project_id')
  table = columns(table, name, 'name', 'description')
  table = columns(table, text, 'tags')
  table = columns(table, integer, 'revision')
  return columns(table, time, 'created_at', 'updated_at')
}

const indexed = async (db: Kysely<any>, table: string, ...names: string[]) => {
  for (const column of names) await db.schema.createIndex(`${table}_${column}`).on(table).column(column).execute()
}

async function topology(db: Kysely<any>): Promise<void> {
  let networks = columns(resource(db, 'networks'), flag, 'admin_state_up', 'shared', 'external', 'is_default', 'port_security')
  networks = columns(networks, id, 'network_type')
  networks = nullable(networks, name, 'physical_network')
  networks = columns(nullable(networks, integer, 'segmentation_id'), integer, 'mtu')
  await columns(columns(networks, name, 'dns_domain'), text, 'zone_hints').execute()
  await indexed(db, 'networks', 'project_id')

  const segments = columns(db.schema.createTable('segments'), id, 'network_type', 'physical_network', 'network_id')
  await columns(segments, integer, 'segmentation_id')
    .addPrimaryKeyConstraint('segments_pk', ['network_type', 'physical_network', 'segmentation_id'])
    .execute()
  await indexed(db, 'segments', 'network_id')

  let subnets = columns(resource(db, 'subnets'), id, 'network_id', 'cidr')
  subnets = columns(subnets, integer, 'ip_version')
  subnets = nullable(subnets, id, 'gateway_ip', 'ipv6_ra_mode', 'ipv6_address_mode')
  subnets = columns(subnets, flag, 'enable_dhcp')
  await columns(subnets, text, 'allocation_pools', 'dns_nameservers', 'host_routes', 'service_types').execute()
  await indexed(db, 'subnets', 'project_id', 'network_id')
}

async function ports(db: Kysely<any>): Promise<void> {
  let table = columns(resource(db, 'ports'), id, 'network_id', 'mac_address', 'status', 'vif_type', 'vnic_type')
  table = columns(table, name, 'device_id', 'device_owner', 'dns_name', 'host')
  table = columns(table, flag, 'admin_state_up', 'port_security', 'wired', 'dhcp_ready')
  await columns(table, text, 'allowed_address_pairs', 'extra_dhcp_opts', 'profile').execute()
  await db.schema.createIndex('ports_mac').on('ports').columns(['network_id', 'mac_address']).unique().execute()
  await indexed(db, 'ports', 'project_id', 'device_id')

  const allocations = columns(db.schema.createTable('allocations'), id, 'subnet_id', 'address', 'port_id', 'network_id')
  await columns(allocations, integer, 'position').addPrimaryKeyConstraint('allocations_pk', ['subnet_id', 'address']).execute()
  await indexed(db, 'allocations', 'port_id', 'address')
  await columns(db.schema.createTable('port_security_groups'), id, 'port_id', 'security_group_id')
    .addPrimaryKeyConstraint('port_security_groups_pk', ['port_id', 'security_group_id'])
    .execute()
  await indexed(db, 'port_security_groups', 'security_group_id')
}

async function routing(db: Kysely<any>): Promise<void> {
  let routers = columns(resource(db, 'routers'), flag, 'admin_state_up', 'enable_snat')
  routers = nullable(columns(routers, id, 'status'), id, 'gateway_network_id', 'gateway_port_id')
  await columns(routers, text, 'routes', 'zone_hints').execute()
  await indexed(db, 'routers', 'project_id')

  let floating = columns(resource(db, 'floatingips'), id, 'floating_network_id', 'floating_ip_address', 'own_port_id', 'status')
  floating = nullable(floating, id, 'port_id', 'fixed_ip_address', 'router_id')
  await nullable(floating, time, 'associated_at').execute()
  await indexed(db, 'floatingips', 'project_id', 'router_id')
  await db.schema.createIndex('floatingips_fixed').on('floatingips').columns(['port_id', 'fixed_ip_address']).unique().execute()
}

async function security(db: Kysely<any>): Promise<void> {
  await nullable(columns(resource(db, 'security_groups'), flag, 'stateful'), id, 'default_of').execute()
  await indexed(db, 'security_groups', 'project_id')
  await db.schema.createIndex('security_groups_default').on('security_groups').column('default_of').unique().execute()
  let rules = columns(resource(db, 'security_group_rules'), id, 'security_group_id', 'direction', 'ethertype')
  rules = nullable(rules, id, 'protocol', 'remote_ip_prefix', 'remote_group_id')
  rules = nullable(rules, integer, 'port_range_min', 'port_range_max')
  await columns(rules, name, 'fingerprint').execute()
  await db.schema
    .createIndex('security_group_rules_same')
    .on('security_group_rules')
    .columns(['security_group_id', 'fingerprint'])
    .unique()
    .execute()
  await indexed(db, 'security_group_rules', 'project_id', 'remote_group_id')
}

async function household(db: Kysely<any>): Promise<void> {
  let agents: Table = db.schema.createTable('agents').addColumn('id', id, (c) => c.primaryKey())
  agents = columns(agents, id, 'agent_type')
  agents = columns(agents, name, 'host', 'binary', 'description')
  agents = columns(columns(agents, text, 'configurations'), flag, 'admin_state_up')
  await columns(agents, time, 'started_at', 'created_at', 'heartbeat_at').execute()
  await db.schema.createIndex('agents_host').on('agents').columns(['host', 'agent_type']).unique().execute()
  await columns(columns(db.schema.createTable('tunnel_endpoints'), name, 'host'), id, 'type', 'address')
    .addPrimaryKeyConstraint('tunnel_endpoints_pk', ['host', 'type'])
    .execute()
  await columns(columns(db.schema.createTable('quotas'), id, 'project_id', 'resource'), integer, 'amount')
    .addPrimaryKeyConstraint('quotas_pk', ['project_id', 'resource'])
    .execute()
  await columns(
    db.schema.createTable('locks').addColumn('name', name, (c) => c.primaryKey()),
    integer,
    'generation',
  ).execute()
  let notices: Table = db.schema.createTable('notices').addColumn('id', id, (c) => c.primaryKey())
  notices = columns(notices, name, 'name', 'server_uuid', 'tag')
  await columns(nullable(notices, id, 'status'), time, 'created_at').execute()
}

/** Routers are scheduled: a cloud of one host, as all were, has them where their ports are. */
async function routerHosts(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('routers')
    .addColumn('host', name, (c) => c.notNull().defaultTo(''))
    .execute()
  await indexed(db, 'routers', 'host')
  await indexed(db, 'ports', 'host')
  const ports = await db.selectFrom('ports').select(['device_id', 'host']).where('device_owner', 'like', 'network:router%').execute()
  for (const { device_id, host } of ports) if (host) await db.updateTable('routers').set({ host }).where('id', '=', device_id).execute()
}

async function subnetPools(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('subnets').addColumn('subnetpool_id', id).execute()
  await indexed(db, 'subnets', 'subnetpool_id')
  let pools = columns(resource(db, 'subnetpools'), integer, 'ip_version', 'default_prefixlen', 'min_prefixlen', 'max_prefixlen')
  pools = columns(columns(pools, flag, 'shared', 'is_default'), text, 'prefixes')
  await nullable(pools, integer, 'default_quota').execute()
  await indexed(db, 'subnetpools', 'project_id')
}

async function autoAllocatedTopologies(db: Kysely<any>): Promise<void> {
  const table = db.schema.createTable('auto_allocated_topologies').addColumn('project_id', id, (c) => c.primaryKey())
  await columns(table, id, 'network_id', 'router_id').execute()
}

/** Few ports have address pairs, and everybody who asks who is in a group looks for these. */
async function portsWithPairs(db: Kysely<any>): Promise<void> {
  const sqlite = db.getExecutor().adapter instanceof SqliteAdapter
  const column = sqlite ? sql`allowed_address_pairs` : sql`allowed_address_pairs(8)`
  await db.schema.createIndex('ports_allowed_address_pairs').on('ports').expression(column).execute()
}

export const migrations: Migrations = {
  '001-initial': {
    async up(db: Kysely<any>) {
      for (const part of [topology, ports, routing, security, household]) await part(db)
    },
  },
  '002-router-hosts': { up: routerHosts },
  '003-subnet-pools': { up: subnetPools },
  '004-auto-allocated-topologies': { up: autoAllocatedTopologies },
  '005-ports-with-pairs': { up: portsWithPairs },
  '006-ports-by-owner': {
    async up(db: Kysely<any>) {
      await db.schema.createIndex('ports_owner').on('ports').columns(['network_id', 'device_owner']).execute()
    },
  },
  '007-names-of-floating-ips': {
    async up(db: Kysely<any>) {
      for (const column of ['dns_name', 'dns_domain'])
        await db.schema
          .alterTable('floatingips')
          .addColumn(column, name, (c) => c.notNull().defaultTo(''))
          .execute()
    },
  },
}
