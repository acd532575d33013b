import { type ExpressionBuilder, type Kysely, sql, type Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { prepared, preparedFor } from '../../kernel/db/prepared.ts'
import type { ImageRow, ImageStatus, ImageTables, MemberStatus, Visibility } from './tables.ts'

export type Handle = Kysely<ImageTables> | Transaction<ImageTables>

/** An image with what hangs on it. */
export interface Image extends ImageRow {
  tags: string[]
  properties: Record<string, string | null>
}

export type SortKey = 'name' | 'status' | 'container_format' | 'disk_format' | 'size' | 'id' | 'created_at' | 'updated_at'

export type Comparison = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte' | 'in'

export interface ImageFilter {
  /** Whose view it is; null sees everything (an administrator). */
  viewer: string | null
  visibility?: Visibility | 'all'
  memberStatus: MemberStatus | 'all'
  /** Columns; values of `in` are lists. Times and numbers compare as such. */
  columns: { column: keyof ImageRow; is: Comparison; value: string | number | (string | number)[] }[]
  tags: string[]
  properties: Record<string, string>
  sort: { key: SortKey; direction: 'asc' | 'desc' }[]
  limit: number
  /** Only what comes after this image. */
  after?: ImageRow
}

const OPERATORS = { eq: '=', neq: '!=', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

export async function insertImage(trx: Handle, image: Image): Promise<void> {
  const { tags, properties, ...row } = image
  await trx.insertInto('images').values(row).execute()
  await insertTags(trx, image.id, tags)
  await insertProperties(trx, image.id, properties)
}

const byId = prepared((db: Kysely<ImageTables>, { id }: { id: string }) => db.selectFrom('images').selectAll().where('id', '=', id))

export async function findImage(db: Handle, id: string): Promise<Image | undefined> {
  return (await dress(db, (await byId(db, { id })).rows))[0]
}

/** The first thing in a transaction that decides by what an image is: nobody else does until its end. Undefined when it is gone. */
export async function holdImage(trx: Handle, id: string): Promise<Image | undefined> {
  const held = await trx
    .updateTable('images')
    .set((eb) => ({ generation: eb('generation', '+', 1) }))
    .where('id', '=', id)
    .executeTakeFirst()
  return held.numUpdatedRows > 0n ? await findImage(trx, id) : undefined
}

export async function listImages(db: Handle, filter: ImageFilter): Promise<Image[]> {
  if (filter.limit === 0) return []
  let query = db.selectFrom('images').selectAll('images')
  if (filter.visibility && filter.visibility !== 'all') query = query.where('visibility', '=', filter.visibility)
  const { viewer } = filter
  if (viewer !== null) query = query.where((eb) => visibleTo(eb, viewer, filter))
  for (const { column, is, value } of filter.columns)
    query = is === 'in' ? query.where(column, 'in', value as string[]) : query.where(column, OPERATORS[is], value as string)
  for (const tag of filter.tags)
    query = query.where((eb) =>
      eb.exists(
        eb
          .selectFrom('image_tags')
          .select('image_tags.tag')
          .whereRef('image_tags.image_id', '=', 'images.id')
          .where('image_tags.tag', '=', tag),
      ),
    )
  for (const [name, value] of Object.entries(filter.properties))
    query = query.where((eb) =>
      eb.exists(
        eb
          .selectFrom('image_properties as p')
          .select('p.name')
          .whereRef('p.image_id', '=', 'images.id')
          .where('p.name', '=', name)
          .where('p.value', '=', value),
      ),
    )
  const { after } = filter
  if (after) query = query.where((eb) => comesAfter(eb, filter.sort, after))
  for (const { key, direction } of filter.sort) query = query.orderBy(comparable(key), direction)
  return await dress(db, await query.limit(filter.limit).execute())
}

/** Public, own, and those shared with the viewer; community images only when asked for. */
function visibleTo(eb: ExpressionBuilder<ImageTables, 'images'>, viewer: string, filter: ImageFilter) {
  const shared = eb.and([
    eb('visibility', '=', 'shared'),
    eb.exists(
      eb
        .selectFrom('image_members as m')
        .select('m.member_id')
        .whereRef('m.image_id', '=', 'images.id')
        .where('m.member_id', '=', viewer)
        .$if(filter.memberStatus !== 'all', (members) => members.where('m.status', '=', filter.memberStatus as MemberStatus)),
    ),
  ])
  const community = filter.visibility === 'community' || filter.visibility === 'all' ? [eb('visibility', '=', 'community')] : []
  return eb.or([eb('owner', '=', viewer), eb('visibility', '=', 'public'), shared, ...community])
}

/** By these an index sorts. */
const NEVER_NULL = new Set<SortKey>(['id', 'status', 'created_at', 'updated_at'])
/** Null sorts first, so that a page can continue after an image that lacks the value. */
const comparable = (key: SortKey) =>
  NEVER_NULL.has(key)
    ? sql<string>`${sql.ref(`images.${key}`)}`
    : key === 'size'
      ? sql<number>`coalesce(images.size, -1)`
      : sql<string>`coalesce(${sql.ref(`images.${key}`)}, '')`
const sortValue = (row: ImageRow, key: SortKey) => row[key] ?? (key === 'size' ? -1 : '')

function comesAfter(eb: ExpressionBuilder<ImageTables, 'images'>, sort: ImageFilter['sort'], marker: ImageRow) {
  return eb.or(
    sort.map(({ key, direction }, i) =>
      eb.and([
        ...sort.slice(0, i).map((before) => eb(comparable(before.key), '=', sortValue(marker, before.key))),
        eb(comparable(key), direction === 'asc' ? '>' : '<', sortValue(marker, key)),
      ]),
    ),
  )
}

const tagsOf = preparedFor((db: Kysely<ImageTables>, ids) =>
  db.selectFrom('image_tags').selectAll().where('image_id', 'in', ids).orderBy('tag'),
)
const propertiesOf = preparedFor((db: Kysely<ImageTables>, ids) =>
  db.selectFrom('image_properties').selectAll().where('image_id', 'in', ids).orderBy('name'),
)

async function dress(db: Handle, rows: ImageRow[]): Promise<Image[]> {
  if (rows.length === 0) return []
  const ids = rows.map((row) => row.id)
  const tags = Map.groupBy(await tagsOf(db, ids), (one) => one.image_id)
  const properties = Map.groupBy(await propertiesOf(db, ids), (one) => one.image_id)
  return rows.map((row) => ({
    ...row,
    tags: (tags.get(row.id) ?? []).map((one) => one.tag),
    properties: Object.fromEntries((properties.get(row.id) ?? []).map((one) => [one.name, one.value])),
  }))
}

/** Columns, tags and properties as given replace those there are. */
export async function updateImage(
  trx: Handle,
  id: string,
  columns: Partial<ImageRow>,
  more: { tags?: string[]; properties?: Record<string, string | null> } = {},
): Promise<void> {
  await trx
    .updateTable('images')
    .set({ ...columns, updated_at: timestamp() })
    .where('id', '=', id)
    .execute()
  if (more.tags) {
    await trx.deleteFrom('image_tags').where('image_id', '=', id).execute()
    await insertTags(trx, id, more.tags)
  }
  if (more.properties) {
    await trx.deleteFrom('image_properties').where('image_id', '=', id).execute()
    await insertProperties(trx, id, more.properties)
  }
}

/** Moves an image to another status if it is (still) in one of `from` and, where told, in the hands of `uploadId`. Answers whether it moved. */
export async function moveImage(
  db: Handle,
  id: string,
  from: ImageStatus[],
  columns: Partial<ImageRow>,
  uploadId?: string,
): Promise<boolean> {
  let query = db
    .updateTable('images')
    .set({ ...columns, updated_at: timestamp() })
    .where('id', '=', id)
    .where('status', 'in', from)
  if (uploadId) query = query.where('upload_id', '=', uploadId)
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

export async function renewUpload(db: Handle, id: string, uploadId: string, leaseUntil: string): Promise<void> {
  await db.updateTable('images').set({ lease_until: leaseUntil }).where('id', '=', id).where('upload_id', '=', uploadId).execute()
}

/** Images whose upload or import has no living process behind it. */
export async function abandonedUploads(db: Handle, at: string): Promise<ImageRow[]> {
  return await db
    .selectFrom('images')
    .selectAll()
    .where('status', 'in', ['saving', 'importing'])
    .where((eb) => eb.or([eb('lease_until', 'is', null), eb('lease_until', '<', at)]))
    .execute()
}

/** Uploads that were staging data: they have a lease but the status of an image that waits for its import. */
export async function imageIds(db: Handle): Promise<Pick<ImageRow, 'id' | 'status' | 'upload_id' | 'lease_until'>[]> {
  return await db.selectFrom('images').select(['id', 'status', 'upload_id', 'lease_until']).execute()
}

export async function deleteImage(trx: Handle, id: string): Promise<void> {
  for (const table of ['image_tags', 'image_properties', 'image_members', 'image_tasks'] as const)
    await trx.deleteFrom(table).where('image_id', '=', id).execute()
  await trx.deleteFrom('images').where('id', '=', id).execute()
  await trx.insertInto('deleted_images').values({ id, deleted_at: timestamp() }).execute()
}

/** Whether an image has this id or had it. */
export async function isTaken(db: Handle, id: string): Promise<boolean> {
  const [there, was] = ['images', 'deleted_images'].map((table) =>
    db
      .selectFrom(table as 'images')
      .select('id')
      .where('id', '=', id),
  )
  return (await there!.unionAll(was!).execute()).length > 0
}

export async function forgetDeleted(db: Handle, before: string): Promise<void> {
  await db.deleteFrom('deleted_images').where('deleted_at', '<', before).execute()
}

async function insertTags(trx: Handle, id: string, tags: string[]): Promise<void> {
  const values = [...new Set(tags)].map((tag) => ({ image_id: id, tag }))
  if (values.length > 0) await trx.insertInto('image_tags').values(values).execute()
}

async function insertProperties(trx: Handle, id: string, properties: Record<string, string | null>): Promise<void> {
  const values = Object.entries(properties).map(([name, value]) => ({ image_id: id, name, value }))
  if (values.length > 0) await trx.insertInto('image_properties').values(values).execute()
}
