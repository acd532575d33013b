import { timestamp } from '../../kernel/db/columns.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import type { ImageContext } from '../app/context.ts'
import { resumeImport } from '../app/import.ts'
import { abandon } from '../app/upload.ts'
import { abandonedUploads, forgetDeleted, imageIds } from '../db/images.ts'
import { forgetTasks } from '../db/tasks.ts'

/** Brings rows and data together again after a crash: an upload that nobody works on any more goes back to queued, a file that no row knows is removed. */
export function dataReconciler(context: ImageContext, everyMs: number): Reconciler {
  return new Reconciler({ name: 'image-data', everyMs, log: context.log, run: () => reconcileData(context) })
}

/** For so long the id of a deleted image is not given again: longer than any upload or download of it goes on. */
const DELETED_MS = 30 * 24 * 3_600_000

/** What was done, in words. */
export async function reconcileData(context: ImageContext): Promise<string[]> {
  const changes: string[] = []
  for (const row of await abandonedUploads(context.database.db, timestamp())) {
    await (row.status === 'importing' ? resumeImport(context, row) : abandon(context, row))
    changes.push(
      `image ${row.id} was ${row.status} and nobody was at work: ${row.status === 'importing' ? 'import done again' : 'queued again'}`,
    )
  }
  // Files first: one that appears after this belongs to a row that is read after it.
  const files = await context.store.list()
  const rows = await imageIds(context.database.db)
  const images = new Set(rows.map((row) => row.id))
  const uploads = new Set(rows.map((row) => row.upload_id))
  for (const file of files) {
    if (file.kind === 'data' && !images.has(file.id)) {
      await context.store.remove(file.id)
      changes.push(`data of image ${file.id}, which is not there: removed`)
    }
    if (file.kind === 'part' && !uploads.has(file.id)) {
      await context.store.discardPart(file.id)
      changes.push(`part of upload ${file.id}, which ended: removed`)
    }
  }
  await forgetTasks(context.database.db, timestamp())
  await forgetDeleted(context.database.db, timestamp(Date.now() - DELETED_MS))
  return changes
}
