import { notFound } from '../../kernel/errors/errors.ts'
import { sumsByProject } from '../db/volumes.ts'
import type { VolumeContext } from './context.ts'

export interface HostShare {
  /** `(total)` for all of them. */
  project: string
  volumes: number
  volumesGiB: number
  snapshots: number
  snapshotsGiB: number
}

/** What lies on a back end (`host@backend`), altogether and for each project. @throws Fault 404 */
export async function hostShares(context: VolumeContext, host: string, known: string[]): Promise<HostShare[]> {
  if (!known.includes(host)) throw notFound(`Host ${host} could not be found.`, 'HostNotFound')
  const shares = await sumsByProject(context.database.db, host)
  const sum = (what: Exclude<keyof HostShare, 'project'>) => shares.reduce((all, one) => all + one[what], 0)
  const total = { volumes: sum('volumes'), volumesGiB: sum('volumesGiB'), snapshots: sum('snapshots'), snapshotsGiB: sum('snapshotsGiB') }
  return [{ project: '(total)', ...total }, ...shares]
}
