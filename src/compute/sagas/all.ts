import { attachInterface, detachInterface } from './attach-interface.ts'
import { attachVolume, detachVolume } from './attach-volume.ts'
import { createServer } from './create-server.ts'
import { deleteServer } from './delete-server.ts'
import { evacuateServer } from './evacuate-server.ts'
import { extendVolume } from './extend-volume.ts'
import { liveMigrateServer } from './live-migrate-server.ts'
import { confirmMigration, migrateServer, revertMigration } from './migrate-server.ts'
import * as power from './power.ts'
import { rebuildServer } from './rebuild-server.ts'
import { finishReimage, rebuildOnVolume, reimageServer } from './reimage-server.ts'
import { rescueServer, unrescueServer } from './rescue-server.ts'
import { confirmResize, resizeServer, revertResize } from './resize-server.ts'
import { offloadServer, shelveServer } from './shelve-server.ts'
import { backupServer, snapshotServer } from './snapshot-server.ts'
import { snapshotVolumes } from './snapshot-volumes.ts'
import { swapVolume } from './swap-volume.ts'
import { unshelveInPlace, unshelveServer } from './unshelve-server.ts'

/** Every operation of several steps on a server. */
export const sagas = [
  createServer,
  deleteServer,
  ...Object.values(power),
  rebuildServer,
  rebuildOnVolume,
  reimageServer,
  finishReimage,
  rescueServer,
  unrescueServer,
  resizeServer,
  confirmResize,
  revertResize,
  migrateServer,
  confirmMigration,
  revertMigration,
  liveMigrateServer,
  evacuateServer,
  snapshotServer,
  backupServer,
  snapshotVolumes,
  shelveServer,
  offloadServer,
  unshelveServer,
  unshelveInPlace,
  attachVolume,
  detachVolume,
  extendVolume,
  swapVolume,
  attachInterface,
  detachInterface,
]
