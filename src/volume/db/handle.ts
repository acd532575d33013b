import type { Kysely, Transaction } from 'kysely'
import type { VolumeTables } from './tables.ts'

export type Handle = Kysely<VolumeTables> | Transaction<VolumeTables>
