import type { Handle } from './images.ts'
import type { NamespaceRow, PartKind, PartRow } from './tables.ts'

export interface NamespaceFilter {
  /** Whose view it is; null sees everything (an administrator). */
  viewer: string | null
  visibility?: 'public' | 'private'
  /** Only those that are associated with one of these. */
  resourceTypes?: string[]
  sort: { key: 'namespace' | 'created_at' | 'updated_at'; direction: 'asc' | 'desc' }
  limit: number
  /** Only what comes after this one. */
  after?: NamespaceRow
}

export const findNamespace = (db: Handle, namespace: string): Promise<NamespaceRow | undefined> =>
  db.selectFrom('metadef_namespaces').selectAll().where('namespace', '=', namespace).executeTakeFirst()

export async function listNamespaces(db: Handle, filter: NamespaceFilter): Promise<NamespaceRow[]> {
  const { viewer, visibility, resourceTypes, sort, after } = filter
  let query = db.selectFrom('metadef_namespaces').selectAll('metadef_namespaces')
  if (viewer !== null) query = query.where((eb) => eb.or([eb('owner', '=', viewer), eb('visibility', '=', 'public')]))
  if (visibility) query = query.where('visibility', '=', visibility)
  if (resourceTypes)
    query = query.where((eb) =>
      eb.exists(
        eb
          .selectFrom('metadef_parts as p')
          .select('p.name')
          .whereRef('p.namespace', '=', 'metadef_namespaces.namespace')
          .where('p.kind', '=', 'resource_type')
          .where('p.name', 'in', resourceTypes),
      ),
    )
  const beyond = sort.direction === 'asc' ? '>' : '<'
  if (after)
    query = query.where((eb) =>
      eb.or([
        eb(sort.key, beyond, after[sort.key]),
        eb.and([eb(sort.key, '=', after[sort.key]), eb('metadef_namespaces.namespace', beyond, after.namespace)]),
      ]),
    )
  return await query.orderBy(sort.key, sort.direction).orderBy('namespace', sort.direction).limit(filter.limit).execute()
}

export const insertNamespace = (db: Handle, row: NamespaceRow) => db.insertInto('metadef_namespaces').values(row).execute()

/** A new name is carried on to its parts. */
export async function updateNamespace(trx: Handle, namespace: string, columns: Partial<NamespaceRow>): Promise<void> {
  await trx.updateTable('metadef_namespaces').set(columns).where('namespace', '=', namespace).execute()
  if (columns.namespace && columns.namespace !== namespace)
    await trx.updateTable('metadef_parts').set({ namespace: columns.namespace }).where('namespace', '=', namespace).execute()
}

export async function deleteNamespace(trx: Handle, namespace: string): Promise<void> {
  await trx.deleteFrom('metadef_parts').where('namespace', '=', namespace).execute()
  await trx.deleteFrom('metadef_namespaces').where('namespace', '=', namespace).execute()
}

export const partsOf = (db: Handle, namespaces: string[], kinds: PartKind[]): Promise<PartRow[]> =>
  namespaces.length === 0
    ? Promise.resolve([])
    : db
        .selectFrom('metadef_parts')
        .selectAll()
        .where('namespace', 'in', namespaces)
        .where('kind', 'in', kinds)
        .orderBy('created_at')
        .orderBy('name')
        .execute()

export const findPart = (db: Handle, namespace: string, kind: PartKind, name: string): Promise<PartRow | undefined> =>
  db
    .selectFrom('metadef_parts')
    .selectAll()
    .where('namespace', '=', namespace)
    .where('kind', '=', kind)
    .where('name', '=', name)
    .executeTakeFirst()

export const findParts = (db: Handle, namespace: string, kind: PartKind, names: string[]): Promise<PartRow[]> =>
  db
    .selectFrom('metadef_parts')
    .selectAll()
    .where('namespace', '=', namespace)
    .where('kind', '=', kind)
    .where('name', 'in', names)
    .execute()

export async function insertParts(db: Handle, rows: PartRow[]): Promise<void> {
  if (rows.length > 0) await db.insertInto('metadef_parts').values(rows).execute()
}

export const updatePart = (db: Handle, { namespace, kind, name }: PartRow, columns: Partial<PartRow>) =>
  db
    .updateTable('metadef_parts')
    .set(columns)
    .where('namespace', '=', namespace)
    .where('kind', '=', kind)
    .where('name', '=', name)
    .execute()

/** One by its name, or all of the kind. Answers how many went. */
export async function deleteParts(db: Handle, namespace: string, kind: PartKind, name?: string): Promise<number> {
  let query = db.deleteFrom('metadef_parts').where('namespace', '=', namespace).where('kind', '=', kind)
  if (name !== undefined) query = query.where('name', '=', name)
  return Number((await query.executeTakeFirst()).numDeletedRows)
}

/** Every resource type that some namespace is associated with: its name, and when that was first so. */
export const resourceTypes = (db: Handle) =>
  db
    .selectFrom('metadef_parts')
    .select((eb) => ['name', eb.fn.min('created_at').as('created_at'), eb.fn.max('updated_at').as('updated_at')])
    .where('kind', '=', 'resource_type')
    .groupBy('name')
    .orderBy('name')
    .execute()
