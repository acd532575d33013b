import type { Kysely } from 'kysely'
import { Raced } from '../../kernel/db/database.ts'
import { type Fault, forbidden } from '../../kernel/errors/errors.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { Extra } from './extra.ts'
import { type OptionsRow, optionsIn, optionsOf } from './options.ts'

/** Of domains, projects and roles. */
export interface ResourceOptions {
  immutable?: boolean
}
type Kind = 'domain' | 'project' | 'role'

const refused = (kind: Kind, id: string): Fault =>
  forbidden(`The ${kind} ${id} is immutable: set its option "immutable" to false first, and nothing else with it.`)

const isImmutable = (row: OptionsRow): boolean => optionsIn<ResourceOptions>(row).immutable === true

/** @throws Fault 403 for what is immutable */
export function refuseImmutable(kind: Kind, row: OptionsRow & { id: string }): void {
  if (isImmutable(row)) throw refused(kind, row.id)
}

/** @throws Fault 403 for what is immutable, unless all that is asked for is that it be so no more */
export function refuseChange(
  kind: Kind,
  row: OptionsRow & { id: string },
  { extra, ...asked }: { options?: { immutable?: boolean | null }; extra?: Extra },
): void {
  const names = [...Object.entries(asked).flatMap(([name, value]) => (value === undefined ? [] : [name])), ...Object.keys(extra ?? {})]
  const { immutable = true } = asked.options ?? {}
  if (isImmutable(row) && (names.length > 1 || immutable === true)) throw refused(kind, row.id)
}

/** @throws Raced when one of them became immutable, or went, since it was looked at: the transaction runs again */
export async function deleteMutable(trx: Kysely<IdentityTables>, table: 'projects' | 'roles', ids: string[]): Promise<void> {
  const { numDeletedRows } = await (trx as Kysely<any>)
    .deleteFrom(table as string)
    .where('id', 'in', ids)
    .where((where) => where.or([where('options_json', 'is', null), where('options_json', '!=', optionsOf(null, { immutable: true }))]))
    .executeTakeFirst()
  if (numDeletedRows < BigInt(ids.length)) throw new Raced()
}
