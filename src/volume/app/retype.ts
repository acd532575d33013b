import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { frontEndSpecs } from '../db/qos.ts'
import { findType, holdType, mayUseType, sharedBy, type VolumeType } from '../db/types.ts'
import { moveVolume } from '../db/volumes.ts'
import { backends } from './backend.ts'
import type { Viewer, VolumeContext } from './context.ts'
import { tellUser } from './message.ts'
import { reserving } from './quota.ts'
import { choose } from './scheduler.ts'
import { invalidVolume, presentVolume, type Volume } from './volume.ts'

/**
 * Another type, where the volume lies already: data does not move. That its back end does not fit is told by a message, and the volume keeps its type.
 * @throws Fault 400 for no, the same or a type that needs it detached; 413 over the type's quota
 */
export async function retypeVolume(context: VolumeContext, viewer: Viewer, volume: Volume, name: string): Promise<void> {
  const { db } = context.database
  const type = await findType(db, name)
  if (!type || !(viewer.isAdmin || (await mayUseType(db, type, volume.project_id)))) throw noType(name)
  await requireFit(db, volume, type)
  if (!(await fits(context, viewer, volume, type))) return
  await reserving(context, volume.project_id, async (trx, reserve) => {
    const present = await presentVolume(trx, volume)
    if (!(await holdType(trx, type))) throw noType(name)
    await requireFit(trx, present, type)
    await reserve({ volumes: 1, gigabytes: present.reserved_size, typeName: type.name, typeOnly: true })
    await moveVolume(trx, volume.id, null, { type_id: type.id, multiattach: sharedBy(type) ? 1 : 0 })
  })
}

const noType = (name: string) => badRequest(`Invalid volume_type passed: ${name}.`, 'InvalidInput')

/** What the one who has it attached goes by must stay. */
async function requireFit(db: Handle, volume: Volume, type: VolumeType): Promise<void> {
  if (type.id === volume.type_id)
    throw badRequest(`Invalid volume type: New volume_type same as original: ${type.id}.`, 'InvalidVolumeType')
  if (!['available', 'in-use'].includes(volume.status))
    throw invalidVolume(`Volume ${volume.id} status must be available or in-use to retype, it is ${volume.status}.`)
  if (volume.status === 'available') return
  if (sharedBy(type) !== (volume.multiattach === 1))
    throw badRequest('Invalid input received: Changing multiattach of a volume needs it available.', 'InvalidInput')
  const [before, after] = [await frontEndSpecs(db, volume.type_id), await frontEndSpecs(db, type.id)]
  if (JSON.stringify(before) !== JSON.stringify(after))
    throw badRequest(`Invalid input received: Retype cannot change front-end qos specs for in-use volume: ${volume.id}.`, 'InvalidInput')
}

async function fits(context: VolumeContext, viewer: Viewer, volume: Volume, type: VolumeType): Promise<boolean> {
  const request = { sizeGiB: 0, zone: null, extraSpecs: type.extraSpecs, onlyOn: volume.host, not: [] }
  try {
    choose(await backends(context), request)
    return true
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'NoValidBackend') throw error
    const of = { projectId: volume.project_id, requestId: viewer.requestId, kind: 'VOLUME' as const, id: volume.id }
    await tellUser(context, of, 'schedule allocate volume', error.message)
    return false
  }
}
