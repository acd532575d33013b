import { sql } from 'kysely'

/** Column types that mean the same on SQLite and MariaDB. */
export const id = sql`varchar(64)`
export const name = sql`varchar(255)`
/** JSON or any long text. */
export const text = sql`mediumtext`
/** Exact to 2^53. */
export const integer = sql`bigint`
export const real = sql`double`
/** 0 or 1. */
export const flag = sql`smallint`
/** ISO 8601 in UTC with ms, `2026-11-23T08:30:00.123Z`: sorts as text. */
export const time = sql`varchar(32)`

/** The present moment as a {@link time} column holds it. */
export const timestamp = (at: number | Date = Date.now()): string => new Date(at).toISOString()

export const toJson = (value: unknown): string => JSON.stringify(value ?? null)
export const fromJson = <T = any>(value: string | null | undefined): T =>
  (value === null || value === undefined ? null : JSON.parse(value)) as T
