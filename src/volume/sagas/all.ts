import { createVolume } from './create-volume.ts'
import { deleteVolume } from './delete-volume.ts'
import { extendVolume } from './extend-volume.ts'
import { reimageVolume } from './reimage-volume.ts'
import { createSnapshot, deleteSnapshot, revertVolume } from './snapshots.ts'
import { uploadImage } from './upload-image.ts'

export const sagas = [createVolume, deleteVolume, extendVolume, reimageVolume, createSnapshot, deleteSnapshot, revertVolume, uploadImage]
