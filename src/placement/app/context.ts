import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { PlacementTables } from '../db/tables.ts'

export interface PlacementContext {
  database: Database<PlacementTables>
  log: Log
}
