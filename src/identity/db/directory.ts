import { type Kysely, sql } from 'kysely'
import type { IdentityTables } from './tables.ts'

type Db = Kysely<IdentityTables>

/** Who somebody is and what may be asked of a project, in one query each: what every token validation needs. */
export const userById = (db: Db, id: string) => withDomain(db).where('users.id', '=', id).executeTakeFirst()
export const userByName = (db: Db, name: string, domain: { id?: string; name?: string }) => {
  const query = withDomain(db).where('users.name', '=', name)
  return (domain.id ? query.where('users.domain_id', '=', domain.id) : query.where('d.name', '=', domain.name ?? '')).executeTakeFirst()
}
export type UserRow = NonNullable<Awaited<ReturnType<typeof userById>>>

export type ApplicationCredentialRow = IdentityTables['application_credentials']
export const applicationCredentialById = (db: Db, id: string) =>
  db.selectFrom('application_credentials').selectAll().where('id', '=', id).executeTakeFirst()

export type TrustRow = IdentityTables['trusts']
export const trustById = (db: Db, id: string) => db.selectFrom('trusts').selectAll().where('id', '=', id).executeTakeFirst()

const withDomain = (db: Db) =>
  db
    .selectFrom('users')
    .innerJoin('projects as d', 'd.id', 'users.domain_id')
    .selectAll('users')
    .select(['d.name as domain_name', 'd.enabled as domain_enabled'])

const projects = (db: Db) =>
  db
    .selectFrom('projects')
    .leftJoin('projects as d', 'd.id', 'projects.domain_id')
    .selectAll('projects')
    .select(['d.name as domain_name', 'd.enabled as domain_enabled'])
export const projectById = (db: Db, id: string) => projects(db).where('projects.id', '=', id).executeTakeFirst()
export const projectByName = (db: Db, name: string, domain: { id?: string; name?: string }) => {
  const query = projects(db).where('projects.name', '=', name).where('projects.is_domain', '=', 0)
  return (domain.id ? query.where('projects.domain_id', '=', domain.id) : query.where('d.name', '=', domain.name ?? '')).executeTakeFirst()
}
export type ProjectRow = NonNullable<Awaited<ReturnType<typeof projectById>>>
export const domainBy = (db: Db, domain: { id?: string; name?: string }) =>
  db
    .selectFrom('projects')
    .selectAll()
    .where('is_domain', '=', 1)
    .where(domain.id ? 'id' : 'name', '=', domain.id ?? domain.name ?? '')
    .executeTakeFirst()

/** A project and all that it lies under, however deep it is. */
export const lineOf = (db: Db, id: string) =>
  db
    .withRecursive('line', (cte) =>
      cte
        .selectFrom('projects')
        .select(['id', 'parent_id'])
        .where('id', '=', id)
        .union(cte.selectFrom('projects').innerJoin('line', 'line.parent_id', 'projects.id').select(['projects.id', 'projects.parent_id'])),
    )
    .selectFrom('line')
    .select('id')
    .execute()

/** Roles that a user has on a target directly, by group, and by inheritance from the targets above it; without those implied. */
export function rolesOn(db: Db, userId: string, kind: 'project' | 'domain' | 'system', id: string, above: string[]) {
  const actors = db.selectFrom('memberships').select('group_id').where('user_id', '=', userId)
  return db
    .selectFrom('assignments')
    .innerJoin('roles', 'roles.id', 'assignments.role_id')
    .select(['roles.id', 'roles.name', 'roles.domain_id'])
    .distinct()
    .where((where) =>
      where.or([
        where.and([where('actor_kind', '=', 'user'), where('actor_id', '=', userId)]),
        where.and([where('actor_kind', '=', 'group'), where('actor_id', 'in', actors)]),
      ]),
    )
    .where((where) =>
      where.or([
        where.and([where('target_kind', '=', kind), where('target_id', '=', id), where('inherited', '=', 0)]),
        ...(above.length > 0 ? [where.and([where('target_id', 'in', above), where('inherited', '=', 1)])] : []),
      ]),
    )
    .execute()
}

export const impliedRoles = (db: Db) =>
  db
    .selectFrom('implied_roles')
    .innerJoin('roles', 'roles.id', 'implied_roles.implied_id')
    .select(['prior_id', 'roles.id', 'roles.name', 'roles.domain_id'])
    .execute()

export const catalogRows = (db: Db) =>
  db
    .selectFrom('endpoints')
    .innerJoin('services', 'services.id', 'endpoints.service_id')
    .select([
      'endpoints.id',
      'endpoints.interface',
      'endpoints.url',
      'endpoints.region_id',
      'services.id as service_id',
      'services.type',
      'services.name',
    ])
    .where('endpoints.enabled', '=', 1)
    .where('services.enabled', '=', 1)
    .orderBy('services.type')
    .orderBy('endpoints.interface')
    .execute()

export const revokedBy = (db: Db, token: { auditIds: string[]; userId: string; projectId: string | null; issuedAt: string }) =>
  db
    .selectFrom('revocations')
    .select(sql<number>`1`.as('one'))
    .where((where) =>
      where.or([
        where('audit_id', 'in', token.auditIds),
        where.and([
          where('audit_id', 'is', null),
          where('issued_before', '>=', token.issuedAt),
          where.or([where('user_id', '=', token.userId), ...(token.projectId ? [where('project_id', '=', token.projectId)] : [])]),
        ]),
      ]),
    )
    .limit(1)
    .executeTakeFirst()
