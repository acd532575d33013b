import { message } from '../kernel/bus/bus.ts'

/** The typed messages between volume's control side and the storage agents (src/host/storage). A back end is `host@backend#pool`, as in Cinder. */

export const volumeTopic = (backend: string) => `volume.${backend.split('#')[0]}`
export const VOLUME_CONTROL = 'volume.control'

export interface BackendState {
  /** host@backend#pool */
  name: string
  driver: 'lvm' | 'lvm-thin' | 'file'
  protocol: 'iSCSI'
  totalGiB: number
  freeGiB: number
  allocatedGiB: number
  provisionedGiB: number
  /** As in Cinder: how many times over a thin back end may be promised. */
  maxOverSubscription: number
  thin: boolean
  reservedPercentage: number
  availabilityZone: string
  /** In words: why it is not LVM, where it is not. */
  notice: string | null
  startedAt: string
}

/** What an initiator must know, but for the secret: that is control's. */
export interface Export {
  iqn: string
  lun: number
  /** `127.0.0.1:3260` */
  portal: string
  username: string
}

/** An iSCSI target that should be there. */
export interface WantedExport {
  volumeId: string
  /** CHAP, 16 characters. */
  secret: string
  readOnly: boolean
}

/** Control asks a storage host; every message may arrive twice. */
export const storage = {
  /** 47 */
  create: message<{ volumeId: string; sizeGiB: number }, { path: string }>('create'),
  createFromSnapshot: message<{ volumeId: string; sizeGiB: number; snapshotId: string; sourceVolumeId: string }, { path: string }>(
    'create-from-snapshot',
  ),
  createFromVolume: message<{ volumeId: string; sizeGiB: number; sourceVolumeId: string }, { path: string }>('create-from-volume'),
  /** Writes an image (downloaded by the host, inspected, converted to raw) onto the volume. */
  createFromImage: message<{ volumeId: string; sizeGiB: number; imageId: string }, { path: string; bytes: number }>('create-from-image'),
  /** Puts an image beside the volume, looked at and known to fit; another of these messages replaces it. */
  fetchImage: message<{ volumeId: string; sizeGiB: number; imageId: string }, { bytes: number }>('fetch-image'),
  dropImage: message<{ volumeId: string }, void>('drop-image'),
  /** Writes that image (fetched again if it is not there any more) over all that the volume holds; nobody reaches the volume meanwhile. */
  reimage: message<{ volumeId: string; sizeGiB: number; imageId: string }, { bytes: number }>('reimage'),
  /** Uploads the volume as an image. */
  uploadToImage: message<{ volumeId: string; imageId: string; diskFormat: string; containerFormat: string }, { bytes: number }>(
    'upload-to-image',
  ),
  remove: message<{ volumeId: string }, void>('remove'),
  extend: message<{ volumeId: string; sizeGiB: number }, void>('extend'),
  createSnapshot: message<{ snapshotId: string; volumeId: string; sizeGiB: number }, void>('create-snapshot'),
  removeSnapshot: message<{ snapshotId: string; volumeId: string }, void>('remove-snapshot'),
  revertToSnapshot: message<{ snapshotId: string; volumeId: string; sizeGiB: number }, void>('revert-to-snapshot'),
  /** 46: target with CHAP and the volume in it; the secret is made on control and kept there. */
  exportVolume: message<WantedExport, Export>('export-volume'),
  /** Unless control wants it when it is the host's turn. */
  unexportVolume: message<{ volumeId: string }, void>('unexport-volume'),
  stats: message<Record<string, never>, BackendState>('stats'),
  audit: message<Record<string, never>, { kind: string; name: string; owner: string | null }[]>('audit'),
}

/** Storage hosts tell control (topic VOLUME_CONTROL). */
export const control = {
  backendReport: message<BackendState, void>('backend-report'),
  /** Which exports should be there, or whether a volume's should: asked when a storage host starts, since tgt forgets its targets, and before it takes one away. */
  desiredExports: message<{ backend: string; volumeId?: string }, WantedExport[]>('desired-exports'),
}
