import { lvmBackend } from '../../drivers/lvm/lvm.ts'
import { ensureVolumeGroup, lvmObstacle } from '../../drivers/lvm/volume-group.ts'
import type { VolumeBackend } from '../../drivers/volume-backend/driver.ts'
import { fileBackend } from '../../drivers/volume-file/files.ts'
import { unavailable } from '../../kernel/errors/errors.ts'

export interface OpenOptions {
  /** `auto`: LVM where the kernel has device mapper, else files. */
  kind: 'auto' | 'lvm' | 'lvm-thin' | 'file'
  /** For files, and for the disk of a volume group that is made here. */
  directory: string
  volumeGroup: string
  /** Of that disk. */
  sizeGiB: number
}

export interface OpenedBackend {
  backend: VolumeBackend
  /** `lvm` or `file`, and the pool: as createStorageAgent wants them. */
  name: string
  pool: string
  /** Why it is not LVM; null if it is. */
  notice: string | null
}

/** Opens the back end that this machine can carry. @throws Fault 503 when LVM is asked for and cannot be, with the reason */
export async function openBackend({ kind, directory, volumeGroup, sizeGiB }: OpenOptions): Promise<OpenedBackend> {
  const obstacle = kind === 'file' ? 'files were asked for' : await lvmObstacle()
  if (obstacle === null) {
    const thin = kind === 'lvm-thin'
    await ensureVolumeGroup({ group: volumeGroup, file: `${directory}/${volumeGroup}.disk`, sizeGiB, thin })
    return { backend: await lvmBackend(volumeGroup, { thin }), name: 'lvm', pool: volumeGroup, notice: null }
  }
  if (kind === 'lvm' || kind === 'lvm-thin')
    throw unavailable(`Volumes cannot be logical volumes here: ${obstacle}. Set storage.backend to "file" or "auto".`, 'NoLvm')
  const notice = `volumes are sparse files in ${directory}, not logical volumes: ${obstacle}`
  return { backend: await fileBackend(directory), name: 'file', pool: 'files', notice }
}
