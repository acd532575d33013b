import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { ImageTables } from '../db/tables.ts'
import type { Store } from './store.ts'
import type { WebSources } from './web-source.ts'

/**
 * Looks at image data before anybody may boot from it.
 * @returns bytes that a guest would see
 * @throws Fault 400 or 415 when the data is not what it is claimed to be, or would reach outside of itself
 */
export type Inspector = (path: string, claimedFormat: string, imageId: string) => Promise<{ virtualSizeBytes: number }>

export interface ImageContext {
  database: Database<ImageTables>
  store: Store
  log: Log
  inspect: Inspector
  /** Bytes. */
  maxImageBytes: number
  /** ms that an upload may be silent before its image counts as abandoned. */
  leaseMs: number
  /** From where images may be fetched. */
  webSources: WebSources
  /** Imports under way in this process. */
  imports: Set<Promise<void>>
}
