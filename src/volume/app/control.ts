import { exportsOf } from '../db/attachments.ts'
import { keepReport } from '../db/backends.ts'
import { control, VOLUME_CONTROL } from '../rpc.ts'
import type { VolumeContext } from './context.ts'

/** What storage hosts tell and ask. Returns how to stop listening. */
export function serveStorageHosts(context: VolumeContext): () => void {
  const { bus, database } = context
  const stops = [
    bus.serve(VOLUME_CONTROL, control.backendReport, (state) => keepReport(database.db, state)),
    bus.serve(VOLUME_CONTROL, control.desiredExports, (of) => exportsOf(database.db, of)),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}
