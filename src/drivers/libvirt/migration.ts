/**
 * Live migration as libvirt's third protocol does it, in five parts that are told to the two ends by turns; what one answers goes to the other in the next part.
 * Whoever leads it holds both connections: when one of them is lost the migration is broken off, and the guest runs on where it was.
 */
export interface MigrationPlan {
  /** Targets (vda) of disks that are copied over; they are there at the destination, empty or as overlays on the same base. None: the ends share them. */
  copyDisks: string[]
  /** All that a guest sees of them goes, onto empty disks. Otherwise what they hold above their base does. */
  whole?: boolean
  /** A paused guest arrives paused. */
  paused: boolean
}

/** base64 of what only libvirt understands. */
export type MigrationCookie = string

export interface MigrationCalls {
  /** Source, 1: the domain's definition for the destination. */
  beginMigration(uuid: string, plan: MigrationPlan): Promise<{ xml: string; cookie: MigrationCookie }>
  /** Destination, 2: a guest that waits for its memory. `listen`: `tcp://192.168.50.2`. @returns where */
  prepareMigration(
    xml: string,
    listen: string,
    cookie: MigrationCookie,
    plan: MigrationPlan,
  ): Promise<{ uri: string; cookie: MigrationCookie }>
  /** Source, 3: sends disks and memory while the guest runs, then stops it. @throws Fault when it was aborted or the way broke */
  performMigration(uuid: string, uri: string, cookie: MigrationCookie, plan: MigrationPlan): Promise<{ cookie: MigrationCookie }>
  /** Destination, 4: the guest goes on here; or, when `cancelled`, is thrown away. */
  finishMigration(name: string, cookie: MigrationCookie, plan: MigrationPlan, cancelled: boolean): Promise<{ cookie: MigrationCookie }>
  /** Source, 5: the guest that was stopped is thrown away, its definition stays; or, when `cancelled`, it goes on. */
  confirmMigration(uuid: string, cookie: MigrationCookie, plan: MigrationPlan, cancelled: boolean): Promise<void>
  /** Null when nothing is under way. */
  migrationProgress(uuid: string): Promise<MigrationProgress | null>
  /** Breaks off what is under way: `performMigration` fails. */
  abortMigration(uuid: string): Promise<void>
}

/** Bytes and ms. */
export interface MigrationProgress {
  elapsedMs: number
  memory: { total: number; processed: number; remaining: number }
  disk: { total: number; processed: number; remaining: number }
}
