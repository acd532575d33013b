import { mkdirSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TargetDriver } from '../../drivers/tgt/driver.ts'
import type { VolumeBackend } from '../../drivers/volume-backend/driver.ts'
import type { ImageClient } from '../../image/client.ts'
import type { Bus, Message } from '../../kernel/bus/bus.ts'
import { locks } from '../../kernel/locks/locks.ts'
import type { Log } from '../../kernel/log/log.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { type BackendState, control, storage, VOLUME_CONTROL, volumeTopic } from '../../volume/rpc.ts'
import { Exports } from './exports.ts'
import { downloadImage, uploadVolume } from './images.ts'

export interface StorageAgentOptions {
  bus: Bus
  log: Log
  /** This machine's name. */
  host: string
  /** The back end's name, `lvm` or `file`: with the host the name of the service. */
  name: string
  /** The one pool it has: the volume group, or `files`. */
  pool: string
  backend: VolumeBackend
  targets: TargetDriver
  images: Pick<ImageClient, 'image' | 'download' | 'upload'>
  /** For images on their way; belongs to this agent alone and is emptied at its start. */
  workDirectory: string
  availabilityZone?: string
  /** As in Cinder: 20. */
  maxOverSubscription?: number
  /** Percent of the space that is never given away. */
  reservedPercentage?: number
  /** Why it is not LVM, where it is not. */
  notice?: string | null
  reportEveryMs?: number
  /** ms between looks whether the targets are still there: tgtd forgets them when it is restarted. */
  reconcileEveryMs?: number
}

export interface StorageAgent {
  /** `host@lvm#group` */
  readonly name: string
  readonly reconcilers: Reconciler[]
  state(): Promise<BackendState>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Serves one back end's volumes: makes them, gives them out as iSCSI targets, and reports how much room is left. Knows nothing that the back end and tgtd do not. */
export function createStorageAgent(options: StorageAgentOptions): StorageAgent {
  const { bus, backend, images, workDirectory } = options
  const name = `${options.host}@${options.name}#${options.pool}`
  const topic = volumeTopic(name)
  const startedAt = new Date().toISOString()
  const locked = locks()
  const exports = new Exports(backend, options.targets)

  const state = async (): Promise<BackendState> => {
    const volumes = (await backend.list()).filter((one) => one.kind === 'volume')
    return {
      name,
      driver: backend.driver,
      protocol: 'iSCSI',
      ...(await backend.space()),
      allocatedGiB: volumes.reduce((sum, one) => sum + one.sizeGiB, 0),
      maxOverSubscription: options.maxOverSubscription ?? 20,
      thin: backend.thin,
      reservedPercentage: options.reservedPercentage ?? 0,
      availabilityZone: options.availabilityZone ?? 'nova',
      notice: options.notice ?? null,
      startedAt,
    }
  }
  const reporter = new Reconciler({
    name: 'storage-report',
    everyMs: options.reportEveryMs ?? 30_000,
    log: options.log,
    async run() {
      await bus.cast(VOLUME_CONTROL, control.backendReport, await state())
      return []
    },
  })
  const desired = (volumeId?: string) => bus.call(VOLUME_CONTROL, control.desiredExports, { backend: name, volumeId })
  const exporter = new Reconciler({
    name: 'storage-exports',
    everyMs: options.reconcileEveryMs ?? 10_000,
    log: options.log,
    run: () => exports.reconcile(() => desired()),
  })

  const stops: (() => void)[] = []
  /** One message of a volume at a time; what changes the space is reported. */
  const serve = <In extends { volumeId: string }, Out>(message: Message<In, Out>, work: (payload: In) => Promise<Out>) => {
    const handler = async (payload: In) => {
      const result = await locked(payload.volumeId, () => work(payload))
      reporter.wake()
      return result
    }
    stops.push(bus.serve(topic, message, handler))
  }
  const at = (volumeId: string) => ({ path: backend.path(volumeId) })

  /** Images that wait to be written onto a volume. */
  const fetched = new Map<string, Awaited<ReturnType<typeof downloadImage>>>()
  const imagePath = (volumeId: string) => join(workDirectory, `image-${volumeId}`)
  const fetchImage = async ({ volumeId, sizeGiB, imageId }: { volumeId: string; sizeGiB: number; imageId: string }) => {
    fetched.delete(volumeId)
    const image = await downloadImage(images, imageId, { path: imagePath(volumeId), sizeGiB })
    fetched.set(volumeId, image)
    return image
  }
  const dropImage = async (volumeId: string) => {
    fetched.delete(volumeId)
    await rm(imagePath(volumeId), { force: true })
  }

  const serveAll = () => {
    serve(storage.create, async ({ volumeId, sizeGiB }) => {
      await backend.create(volumeId, sizeGiB)
      return at(volumeId)
    })
    serve(storage.createFromSnapshot, async ({ volumeId, sizeGiB, snapshotId }) => {
      await backend.createFromSnapshot(volumeId, sizeGiB, snapshotId)
      return at(volumeId)
    })
    serve(storage.createFromVolume, async ({ volumeId, sizeGiB, sourceVolumeId }) => {
      await locked(`source ${sourceVolumeId}`, async () =>
        backend.createFromVolume(volumeId, sizeGiB, sourceVolumeId, await exports.hold(sourceVolumeId)),
      )
      return at(volumeId)
    })
    serve(storage.createFromImage, async ({ volumeId, sizeGiB, imageId }) => {
      const image = await downloadImage(images, imageId, { path: imagePath(volumeId), sizeGiB })
      try {
        await backend.remove(volumeId) // half filled by an earlier try it would not be all zeros where the image is
        await backend.create(volumeId, sizeGiB)
        await backend.fill(volumeId, image)
      } finally {
        await rm(image.path, { force: true })
      }
      return { ...at(volumeId), bytes: image.bytes }
    })
    serve(storage.fetchImage, async (wanted) => ({ bytes: (await fetchImage(wanted)).bytes }))
    serve(storage.dropImage, ({ volumeId }) => dropImage(volumeId))
    serve(storage.reimage, async (wanted) => {
      const { volumeId } = wanted
      const image = fetched.get(volumeId) ?? (await fetchImage(wanted))
      await exports.unexport(volumeId)
      await backend.reimage(volumeId, image)
      await dropImage(volumeId)
      return { bytes: image.bytes }
    })
    serve(storage.uploadToImage, ({ volumeId, imageId, diskFormat }) =>
      uploadVolume(images, imageId, { backend, volumeId, diskFormat, path: join(workDirectory, `upload-${imageId}`) }),
    )
    serve(storage.remove, async ({ volumeId }) => {
      await exports.unexport(volumeId)
      await backend.remove(volumeId)
    })
    serve(storage.extend, ({ volumeId, sizeGiB }) => backend.extend(volumeId, sizeGiB))
    serve(storage.createSnapshot, async ({ snapshotId, volumeId }) =>
      backend.createSnapshot(snapshotId, volumeId, await exports.hold(volumeId)),
    )
    serve(storage.removeSnapshot, ({ snapshotId }) => backend.removeSnapshot(snapshotId))
    serve(storage.revertToSnapshot, ({ snapshotId, volumeId }) => backend.revert(volumeId, snapshotId))
    serve(storage.exportVolume, (wanted) => exports.export(wanted))
    serve(storage.unexportVolume, ({ volumeId }) => exports.unexportUnless(volumeId, () => desired(volumeId)))
    stops.push(bus.serve(topic, storage.stats, state))
    stops.push(bus.serve(topic, storage.audit, audit))
  }

  const audit = async () => [
    ...(await backend.list()).map((one) => ({ kind: one.kind === 'copy' ? 'volume-copy' : one.kind, name: one.name, owner: one.id })),
    ...(await exports.audit()),
    ...(await readdir(workDirectory)).map((file) => ({ kind: 'work-file', name: file, owner: file.replace(/^(image|upload)-/, '') })),
  ]

  return {
    name,
    reconcilers: [reporter, exporter],
    state,
    async start() {
      mkdirSync(workDirectory, { recursive: true, mode: 0o700 })
      for (const file of await readdir(workDirectory)) await rm(join(workDirectory, file), { force: true })
      serveAll()
      exporter.start()
      reporter.start()
    },
    async stop() {
      for (const stop of stops) stop()
      await Promise.all([exporter.stop(), reporter.stop()])
    },
  }
}
