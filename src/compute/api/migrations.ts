import Type from 'typebox'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { lastOf, queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import { abortLiveMigration, forceLiveMigration } from '../app/live-migrate.ts'
import { findMigration, LIVE_UNDER_WAY, listMigrations, type MigrationFilter } from '../app/migration.ts'
import type { InstanceRow, MigrationRow } from '../app/rows.ts'
import { timeOf } from '../app/time.ts'
import { Paged, Shown } from './answers.ts'
import { closed, links, micro, Nullable, nextLink, server, targetServer, wholeNumber } from './common.ts'

const Text = Nullable(Type.String())
const Bytes = Nullable(Type.Integer())

const common = {
  id: Type.Integer(),
  status: Type.String(),
  source_compute: Type.String(),
  source_node: Type.String(),
  dest_compute: Text,
  dest_node: Text,
  dest_host: Text,
  created_at: Type.String(),
  updated_at: Text,
  uuid: Type.Optional(Type.String()),
  user_id: Type.Optional(Type.String()),
  project_id: Type.Optional(Type.String()),
}

const Migration = Type.Object(
  {
    ...common,
    instance_uuid: Type.String(),
    old_instance_type_id: Nullable(Type.Integer()),
    new_instance_type_id: Nullable(Type.Integer()),
    migration_type: Type.Optional(Type.String()),
    links: Type.Optional(Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }, closed))),
  },
  closed,
)

const MIGRATION_QUERY = [
  ...['limit', 'marker', 'instance_uuid', 'host', 'source_compute', 'status', 'migration_type', 'user_id', 'project_id'],
  ...['changes-since', 'changes-before'],
]

const ServerMigration = Type.Object(
  {
    ...common,
    server_uuid: Type.String(),
    memory_total_bytes: Bytes,
    memory_processed_bytes: Bytes,
    memory_remaining_bytes: Bytes,
    disk_total_bytes: Bytes,
    disk_processed_bytes: Bytes,
    disk_remaining_bytes: Bytes,
  },
  closed,
)

/** Servers on their way from host to host, of all kinds; and of one server those that are under way, live. */
export function migrationRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  const policy = (name: string) => `os_compute_api:servers:migrations:${name}`
  const { db } = context.database

  /** @throws Fault 404 for one of another server, or that is over */
  async function underWay(request: ApiRequest): Promise<{ row: InstanceRow; migration: MigrationRow }> {
    const row = await server(context, request)
    const number = wholeNumber('id', request.params.id)
    const found = (await listMigrations(db, { serverId: row.id })).find((one) => Number(one.number) === number)
    if (!found) throw notFound(`Migration ${request.params.id} not found for server ${row.id}`, 'MigrationNotFound')
    if (found.type !== 'live-migration')
      throw notFound(`Migration ${request.params.id} for server ${row.id} is not live-migration.`, 'MigrationNotFound')
    if (!LIVE_UNDER_WAY.includes(found.status))
      throw notFound(`Migration ${request.params.id} for server ${row.id} is not in progress.`, 'MigrationNotFound')
    return { row, migration: found }
  }

  return [
    {
      method: 'GET',
      path: '/os-migrations',
      doc: 'List the ways of servers from host to host, the youngest first',
      policy: 'os_compute_api:os-migrations:index',
      query: queryOf(...MIGRATION_QUERY),
      response: Paged('migrations', Migration),
      async handler(request) {
        const limit = wholeNumber('limit', request.query.limit as string | undefined) ?? MOST
        const pages = request.version.atLeast('2.59')
        const rows = await listMigrations(db, { ...(await filterOf(request)), limit: pages ? Math.min(limit, MOST) + 1 : undefined })
        const shown = pages ? rows.slice(0, Math.min(limit, MOST)) : rows
        const next = nextLink(request, '/os-migrations', pages && rows.length > shown.length, shown.at(-1)?.id)
        return { migrations: shown.map((row) => view(request, row)), ...(next ? { migrations_links: next } : {}) }
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/migrations',
      doc: 'List the live migrations of a server that are under way',
      policy: policy('index'),
      microversions: { min: '2.23' },
      target,
      response: Shown('migrations', Type.Array(ServerMigration)),
      async handler(request) {
        const row = await server(context, request)
        const rows = await listMigrations(db, { serverId: row.id, type: 'live-migration', status: LIVE_UNDER_WAY })
        return { migrations: rows.map((one) => serverView(request, one)) }
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/migrations/:id',
      doc: 'Show a live migration that is under way, and how far it is',
      policy: policy('show'),
      microversions: { min: '2.23' },
      target,
      response: Shown('migration', ServerMigration),
      handler: async (request) => ({ migration: serverView(request, (await underWay(request)).migration) }),
    },
    {
      method: 'POST',
      path: '/servers/:server_id/migrations/:id/action',
      action: 'force_complete',
      doc: 'Let a live migration come to its end: the guest stands still until it is over',
      policy: policy('force_complete'),
      microversions: { min: '2.22' },
      target,
      status: 202,
      body: Type.Object({ force_complete: Type.Null() }, closed),
      response: 'nothing',
      async handler(request) {
        const { migration } = await underWay(request)
        await forceLiveMigration(context, migration)
      },
    },
    {
      method: 'DELETE',
      path: '/servers/:server_id/migrations/:id',
      doc: 'Break off a live migration: the guest stays where it is',
      policy: policy('delete'),
      microversions: { min: '2.24' },
      target,
      status: 202,
      response: 'nothing',
      async handler(request) {
        const { migration } = await underWay(request)
        await abortLiveMigration(context, migration, { alsoBefore: request.version.atLeast('2.65') })
      },
    },
  ]

  /** @throws Fault 400 for a marker that there is not, or a time that is none */
  async function filterOf(request: ApiRequest): Promise<MigrationFilter> {
    const query = lastOf(request.query)
    const { version } = request
    if (version.atLeast('2.59')) {
      const known = FILTERS.flatMap(([name, since]) => (version.atLeast(since) ? [name] : []))
      const unknown = Object.keys(query).filter((name) => !known.includes(name))
      if (unknown.length > 0)
        throw badRequest(`Additional properties are not allowed (${unknown.map((name) => `'${name}'`).join(', ')} was unexpected)`)
    }
    const marker = version.atLeast('2.59') && query.marker ? await findMigration(db, query.marker) : undefined
    if (version.atLeast('2.59') && query.marker && !marker) throw badRequest(`Marker ${query.marker} could not be found.`, 'MarkerNotFound')
    return {
      serverId: query.instance_uuid,
      host: query.host,
      sourceHost: query.source_compute,
      status: query.status === undefined ? undefined : [query.status],
      type: query.migration_type,
      ...(version.atLeast('2.80') ? { userId: query.user_id, projectId: query.project_id } : {}),
      ...(version.atLeast('2.59') && query['changes-since'] ? { since: timeOf('changes-since', query['changes-since']) } : {}),
      ...(version.atLeast('2.66') && query['changes-before'] ? { before: timeOf('changes-before', query['changes-before']) } : {}),
      after: marker,
    }
  }
}

const MOST = 1000
/** What a query may say, and from which microversion on; before 2.59 whatever else it says is ignored. */
const FILTERS = [
  ...['hidden', 'host', 'instance_uuid', 'source_compute', 'status', 'migration_type'].map((name) => [name, '2.1'] as const),
  ...['limit', 'marker', 'changes-since'].map((name) => [name, '2.59'] as const),
  ['changes-before', '2.66'],
  ...['user_id', 'project_id'].map((name) => [name, '2.80'] as const),
] as const

const commonView = (request: ApiRequest, row: MigrationRow) => ({
  id: Number(row.number),
  status: row.status,
  source_compute: row.source_host,
  source_node: row.source_node,
  dest_compute: row.dest_host,
  dest_node: row.dest_node,
  dest_host: null,
  created_at: micro(row.created_at),
  updated_at: micro(row.updated_at),
  ...(request.version.atLeast('2.59') ? { uuid: row.id } : {}),
  ...(request.version.atLeast('2.80') ? { user_id: row.user_id, project_id: row.project_id } : {}),
})

function view(request: ApiRequest, row: MigrationRow) {
  const withLinks = row.type === 'live-migration' && LIVE_UNDER_WAY.includes(row.status)
  return {
    ...commonView(request, row),
    instance_uuid: row.server_id,
    old_instance_type_id: numberOf(row.old_flavor_id),
    new_instance_type_id: numberOf(row.new_flavor_id),
    ...(request.version.atLeast('2.23')
      ? {
          migration_type: row.type,
          ...(withLinks ? { links: links(request, `/servers/${row.server_id}/migrations/${row.number}`) } : {}),
        }
      : {}),
  }
}

const serverView = (request: ApiRequest, row: MigrationRow) => ({
  ...commonView(request, row),
  server_uuid: row.server_id,
  memory_total_bytes: bytesOf(row.memory_total),
  memory_processed_bytes: bytesOf(row.memory_processed),
  memory_remaining_bytes: bytesOf(row.memory_remaining),
  disk_total_bytes: bytesOf(row.disk_total),
  disk_processed_bytes: bytesOf(row.disk_processed),
  disk_remaining_bytes: bytesOf(row.disk_remaining),
})

const bytesOf = (value: number | null) => (value === null ? null : Number(value))
/** Flavors have no number beside their id; one whose id is a number is shown by it. */
const numberOf = (flavorId: string) => (/^\d{1,9}$/.test(flavorId) ? Number(flavorId) : null)
