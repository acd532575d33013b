import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict, forbidden, notFound } from '../../kernel/errors/errors.ts'
import * as table from '../db/metadefs.ts'
import type { NamespaceRow, PartKind, PartRow } from '../db/tables.ts'
import type { ImageContext } from './context.ts'
import type { Viewer } from './image.ts'

export type { NamespaceRow, PartKind }

/** A definition as users write it: its name and what it says. */
export interface Part {
  name: string
  body: Record<string, unknown>
  created_at: string
  updated_at: string
}

export interface NewNamespace {
  namespace: string
  display_name?: string | null
  description?: string | null
  visibility?: 'public' | 'private'
  protected?: boolean
  owner?: string
}

/** Characters. */
const LONGEST_NAME = 80

export const KIND_WORDS: Record<PartKind, string> = {
  object: 'object',
  property: 'property',
  tag: 'tag',
  resource_type: 'resource type association',
}

const noNamespace = (name: string) => notFound(`Metadata definition namespace=${name} was not found.`, 'MetadefNamespaceNotFound')
const noPart = (namespace: string, kind: PartKind, name: string) =>
  notFound(`The metadata definition ${KIND_WORDS[kind]} with name=${name} was not found in namespace=${namespace}.`, 'MetadefNotFound')
const takenPart = (namespace: string, kind: PartKind, name: string) =>
  conflict(`A metadata definition ${KIND_WORDS[kind]} with name=${name} already exists in namespace=${namespace}.`, 'MetadefDuplicate')
const knownNamespace = (name: string) => conflict(`The metadata definition namespace=${name} already exists.`, 'MetadefDuplicateNamespace')

/** @throws Fault 404 also for a private one of another project */
export async function seeNamespace(context: ImageContext, viewer: Viewer, name: string): Promise<NamespaceRow> {
  const row = await table.findNamespace(context.database.db, name)
  if (!row || !(viewer.isAdmin || row.visibility === 'public' || row.owner === viewer.projectId)) throw noNamespace(name)
  return row
}

/** One page, and whether more follow. @throws Fault 404 when the marker is no namespace */
export async function pageOfNamespaces(
  context: ImageContext,
  viewer: Viewer,
  asked: Omit<table.NamespaceFilter, 'viewer' | 'after'> & { marker?: string },
): Promise<{ namespaces: NamespaceRow[]; more: boolean }> {
  const { marker, ...filter } = asked
  const after = marker === undefined ? undefined : await seeNamespace(context, viewer, marker)
  const found = await table.listNamespaces(context.database.db, {
    ...filter,
    limit: filter.limit + 1,
    viewer: viewer.isAdmin ? null : viewer.projectId,
    after,
  })
  return { namespaces: found.slice(0, filter.limit), more: found.length > filter.limit }
}

/** @throws Fault 409 when the name is taken */
export async function createNamespace(
  context: ImageContext,
  viewer: Viewer,
  asked: NewNamespace,
  parts: { kind: PartKind; name: string; body: Record<string, unknown> }[],
): Promise<NamespaceRow> {
  if (await table.findNamespace(context.database.db, asked.namespace)) throw knownNamespace(asked.namespace)
  const at = timestamp()
  const row: NamespaceRow = {
    namespace: asked.namespace,
    display_name: asked.display_name ?? null,
    description: asked.description ?? null,
    visibility: asked.visibility ?? 'private',
    protected: asked.protected ? 1 : 0,
    owner: asked.owner ?? viewer.projectId ?? '',
    created_at: at,
    updated_at: at,
  }
  await context.database.transaction(async (trx) => {
    await table.insertNamespace(trx, row)
    await table.insertParts(trx, rowsOf(row.namespace, parts))
  })
  return row
}

/** @throws Fault 409 when its new name is taken */
export async function changeNamespace(context: ImageContext, row: NamespaceRow, asked: NewNamespace): Promise<NamespaceRow> {
  if (asked.namespace !== row.namespace && (await table.findNamespace(context.database.db, asked.namespace)))
    throw knownNamespace(asked.namespace)
  const { protected: kept, ...columns } = asked
  const after = { ...row, ...columns, protected: (kept ?? row.protected === 1) ? 1 : 0, updated_at: timestamp() }
  await context.database.transaction((trx) => table.updateNamespace(trx, row.namespace, after))
  return after
}

/** @throws Fault 403 when it is protected */
export async function removeNamespace(context: ImageContext, row: NamespaceRow): Promise<void> {
  assertUnprotected(row)
  await context.database.transaction((trx) => table.deleteNamespace(trx, row.namespace))
}

/** The definitions of each of these namespaces, by namespace and kind. */
export async function partsByKind(
  context: ImageContext,
  namespaces: string[],
  kinds: PartKind[],
): Promise<(name: string, kind: PartKind) => Part[]> {
  const rows = Map.groupBy(await table.partsOf(context.database.db, namespaces, kinds), (row) => `${row.kind} ${row.namespace}`)
  return (name, kind) => (rows.get(`${kind} ${name}`) ?? []).map(partOf)
}

export async function partNamed(context: ImageContext, { namespace }: NamespaceRow, kind: PartKind, name: string): Promise<Part> {
  const row = await table.findPart(context.database.db, namespace, kind, name)
  if (!row) throw noPart(namespace, kind, name)
  return partOf(row)
}

interface Asked {
  name: string
  body: Record<string, unknown>
}

/** All of them or, where a name is taken, none. @throws Fault 409, 400 for a name given twice or too long */
export async function addParts(context: ImageContext, { namespace }: NamespaceRow, kind: PartKind, asked: Asked[]): Promise<Part[]> {
  const rows = rowsOf(namespace, allOf(kind, asked))
  if (rows.length === 0) return []
  await context.database.transaction(async (trx) => {
    const names = rows.map(({ name }) => name)
    const [known] = await table.findParts(trx, namespace, kind, names)
    if (known) throw takenPart(namespace, kind, known.name)
    await table.insertParts(trx, rows)
  })
  return rows.map(partOf)
}

/** These in place of all there are of the kind. @throws Fault 400 for a name given twice, 403 when the namespace is protected */
export async function replaceParts(context: ImageContext, row: NamespaceRow, kind: PartKind, asked: Asked[]): Promise<Part[]> {
  assertUnprotected(row)
  const rows = rowsOf(row.namespace, allOf(kind, asked))
  await context.database.transaction(async (trx) => {
    await table.deleteParts(trx, row.namespace, kind)
    await table.insertParts(trx, rows)
  })
  return rows.map(partOf)
}

/** @throws Fault 404, 409 when its new name is taken */
export async function changePart(
  context: ImageContext,
  { namespace }: NamespaceRow,
  kind: PartKind,
  name: string,
  asked: { name: string; body: Record<string, unknown> },
): Promise<Part> {
  const row = await table.findPart(context.database.db, namespace, kind, name)
  if (!row) throw noPart(namespace, kind, name)
  if (asked.name !== name && (await table.findPart(context.database.db, namespace, kind, asked.name)))
    throw takenPart(namespace, kind, asked.name)
  const after = { ...row, name: asked.name, body_json: toJson(asked.body), updated_at: timestamp() }
  await table.updatePart(context.database.db, row, after)
  return partOf(after)
}

/** One, or all of the kind. @throws Fault 404, 403 when the namespace is protected */
export async function removeParts(context: ImageContext, row: NamespaceRow, kind: PartKind, name?: string): Promise<void> {
  assertUnprotected(row)
  const gone = await table.deleteParts(context.database.db, row.namespace, kind, name)
  if (name !== undefined && gone === 0) throw noPart(row.namespace, kind, name)
}

/** What definitions may be about, as Glance's own collection names it. */
const KNOWN_TYPES = ['OS::Cinder::Volume', 'OS::Glance::Image', 'OS::Nova::Aggregate', 'OS::Nova::Flavor', 'OS::Nova::Server']
const ALWAYS = '2014-08-01T00:00:00Z'

/** Those that are known, and all that some namespace is associated with. */
export async function allResourceTypes(context: ImageContext) {
  const used = await table.resourceTypes(context.database.db)
  const known = KNOWN_TYPES.filter((name) => !used.some((one) => one.name === name))
  const all = [...used, ...known.map((name) => ({ name, created_at: ALWAYS, updated_at: ALWAYS }))]
  return all.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function assertUnprotected(row: NamespaceRow): void {
  if (row.protected) throw forbidden(`Metadata definition namespace ${row.namespace} is protected and cannot be deleted.`)
}

const allOf = (kind: PartKind, asked: Asked[]) => asked.map((one) => ({ kind, ...one }))

function rowsOf(namespace: string, parts: { kind: PartKind; name: string; body: Record<string, unknown> }[]): PartRow[] {
  const at = timestamp()
  const names = new Set(parts.map(({ kind, name }) => `${kind} ${name}`))
  if (names.size < parts.length) throw badRequest('A name is given twice; each definition needs one of its own.')
  for (const { kind, name } of parts)
    if (name.length > LONGEST_NAME)
      throw badRequest(`The name of a metadata definition ${KIND_WORDS[kind]} has at most ${LONGEST_NAME} characters.`)
  return parts.map(({ kind, name, body }) => ({ namespace, kind, name, body_json: toJson(body), created_at: at, updated_at: at }))
}

const partOf = ({ name, body_json, created_at, updated_at }: PartRow): Part => ({ name, body: fromJson(body_json), created_at, updated_at })
