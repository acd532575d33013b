import { randomUUID } from 'node:crypto'
import type { ImageClient, ImageDocument } from '../image/client.ts'
import { MemoryBus } from '../kernel/bus/memory.ts'
import { Fault, notFound } from '../kernel/errors/errors.ts'
import { type TestRequest, type TestServer, testServer } from '../kernel/http/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { GiB } from '../kernel/units/units.ts'
import type { Notice } from './app/context.ts'
import { type BackendState, control, storage, VOLUME_CONTROL, volumeTopic } from './rpc.ts'
import { createVolumeService, type VolumeOptions, type VolumeService } from './service.ts'

/** A storage host in memory. */
export class StorageStandIn {
  readonly name: string
  readonly volumes = new Map<string, { sizeGiB: number; from: string | null }>()
  readonly snapshots = new Map<string, string>()
  readonly exports = new Map<string, { secret: string; readOnly: boolean }>()
  /** Volumes with an image beside them. */
  readonly fetched = new Set<string>()
  readonly asked: string[] = []
  /** Names of messages that fail, with what. */
  readonly failing = new Map<string, Fault>()
  /** Names of messages of which the next one fails, with what. */
  readonly failingOnce = new Map<string, Fault>()
  /** What everything takes before it is done. */
  pause: () => Promise<void> = async () => {}
  /** Messages of which the next one waits. */
  private readonly held = new Map<string, { come: () => void; goOn: Promise<void> }>()
  private readonly waiting = new Set<() => void>()
  totalGiB = 100
  zone = 'nova'
  private readonly bus: MemoryBus
  private stops: (() => void)[] = []

  constructor(bus: MemoryBus, name = 'host@lvm#group') {
    this.bus = bus
    this.name = name
  }

  state(): BackendState {
    const used = [...this.volumes.values()].reduce((sum, one) => sum + one.sizeGiB, 0)
    return {
      name: this.name,
      driver: 'lvm',
      protocol: 'iSCSI',
      totalGiB: this.totalGiB,
      freeGiB: this.totalGiB - used,
      allocatedGiB: used,
      provisionedGiB: used,
      maxOverSubscription: 20,
      thin: false,
      reservedPercentage: 0,
      availabilityZone: this.zone,
      notice: null,
      startedAt: '2026-01-01T00:00:00.000Z',
    }
  }

  /** Lets the next message of this name wait until `goOn` is called; `come` when it has. */
  hold(name: keyof typeof storage): { come: Promise<void>; goOn: () => void } {
    const [come, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    this.held.set(name, { come: come.resolve, goOn: goOn.promise })
    this.waiting.add(goOn.resolve)
    return { come: come.promise, goOn: goOn.resolve }
  }

  report(): Promise<void> {
    return this.bus.call(VOLUME_CONTROL, control.backendReport, this.state())
  }

  start(): void {
    const on = (name: keyof typeof storage, work: (payload: any) => unknown) => {
      const handler = async (payload: any) => {
        this.asked.push(name)
        await this.pause()
        await this.wait(name)
        const failure = this.failing.get(name) ?? this.failingOnce.get(name)
        this.failingOnce.delete(name)
        if (failure) throw failure
        return (await work(payload)) ?? null
      }
      this.stops.push(this.bus.serve<any, any>(volumeTopic(this.name), storage[name] as any, handler))
    }
    const make = (volumeId: string, sizeGiB: number, from: string | null) => {
      this.volumes.set(volumeId, { sizeGiB, from })
      return { path: `/dev/group/volume-${volumeId}` }
    }
    const need = (id: string) => {
      const found = this.volumes.get(id)
      if (!found) throw notFound(`no volume ${id}`)
      return found
    }
    on('create', ({ volumeId, sizeGiB }) => make(volumeId, sizeGiB, null))
    on('createFromImage', ({ volumeId, sizeGiB, imageId }) => ({ ...make(volumeId, sizeGiB, imageId), bytes: 9 }))
    on('createFromSnapshot', ({ volumeId, sizeGiB, snapshotId }) => make(volumeId, sizeGiB, snapshotId))
    on('createFromVolume', ({ volumeId, sizeGiB, sourceVolumeId }) => make(volumeId, sizeGiB, sourceVolumeId))
    on('fetchImage', ({ volumeId }) => {
      this.fetched.add(volumeId)
      return { bytes: 9 }
    })
    on('dropImage', ({ volumeId }) => void this.fetched.delete(volumeId))
    on('reimage', ({ volumeId, imageId }) => {
      need(volumeId).from = imageId
      this.fetched.delete(volumeId)
      return { bytes: 9 }
    })
    on('uploadToImage', () => ({ bytes: 1234 }))
    on('remove', ({ volumeId }) => {
      this.exports.delete(volumeId)
      this.volumes.delete(volumeId)
    })
    on('extend', ({ volumeId, sizeGiB }) => {
      need(volumeId).sizeGiB = sizeGiB
    })
    on('createSnapshot', ({ snapshotId, volumeId }) => {
      need(volumeId)
      this.snapshots.set(snapshotId, volumeId)
    })
    on('removeSnapshot', ({ snapshotId }) => {
      this.snapshots.delete(snapshotId)
    })
    on('revertToSnapshot', ({ volumeId }) => void need(volumeId))
    on('exportVolume', ({ volumeId, secret, readOnly }) => {
      need(volumeId)
      this.exports.set(volumeId, { secret, readOnly })
      return { iqn: `iqn.2010-10.org.openstack:volume-${volumeId}`, lun: 1, portal: '127.0.0.1:3260', username: 'yun' }
    })
    on('unexportVolume', async ({ volumeId }) => {
      const wanted = await this.bus.call(VOLUME_CONTROL, control.desiredExports, { backend: this.name, volumeId })
      if (wanted.length === 0) this.exports.delete(volumeId)
    })
  }

  private async wait(name: string): Promise<void> {
    const held = this.held.get(name)
    this.held.delete(name)
    held?.come()
    await held?.goOn
  }

  stop(): void {
    for (const end of [...this.stops, ...this.waiting]) end()
    this.stops = []
  }
}

/** Images that are there, and those that were made. */
export class ImagesStandIn {
  readonly images = new Map<string, Partial<ImageDocument>>()

  add(image: Partial<ImageDocument> = {}): string {
    const id = randomUUID()
    this.images.set(id, {
      id,
      name: 'tiny',
      status: 'active',
      size: 9,
      virtual_size: GiB,
      min_disk: 0,
      min_ram: 0,
      disk_format: 'raw',
      ...image,
    })
    return id
  }

  client(): ImageClient {
    const find = (id: string) => {
      const image = this.images.get(id)
      if (!image) throw notFound(`No image found with ID ${id}`)
      return image as ImageDocument
    }
    return {
      image: async (id: string) => find(id),
      create: async (body: any) => {
        if (this.images.has(body.id)) throw new Fault(409, 'ImageExists', 'exists')
        this.images.set(body.id, { ...body, status: 'queued' })
        return find(body.id)
      },
      update: async (id: string) => find(id),
      remove: async (id: string) => void this.images.delete(id),
    } as unknown as ImageClient
  }
}

export interface VolumeHouse {
  service: VolumeService
  bus: MemoryBus
  storage: StorageStandIn
  images: ImagesStandIn
  /** What compute was told. */
  notices: Notice[]
  server: TestServer['server']
  request(method: string, path: string, options?: TestRequest): ReturnType<TestServer['request']>
  /** Asks for a volume and waits until that has come to its end. */
  volume(body?: object, as?: string): Promise<any>
  show(id: string): Promise<any>
  idle(): Promise<void>
  close(): Promise<void>
}

const LATEST = { 'openstack-api-version': 'volume 3.70' }

/** The volume service with a storage host in memory; paths are below /volume/v3. `beside`: another control process on that one's database, bus, host and images. */
export async function volumeHouse(options: Partial<VolumeOptions> = {}, beside?: VolumeHouse): Promise<VolumeHouse> {
  const bus = beside?.bus ?? new MemoryBus()
  const host = beside?.storage ?? new StorageStandIn(bus)
  const images = beside?.images ?? new ImagesStandIn()
  const notices: Notice[] = []
  const service = await createVolumeService({
    databaseUrl: 'sqlite::memory:',
    log: silent(),
    bus,
    images: images.client(),
    notifyCompute: async (some) => void notices.push(...some),
    exclusive: true,
    undoRetryMs: 5,
    ...options,
    settings: { hostPatienceMs: 50, ...options.settings },
  })
  await service.start()
  if (!beside) host.start()
  await service.resume()
  await host.report()
  const { server, request: send, close } = await testServer({ apis: service.api })
  const request: VolumeHouse['request'] = (method, path, more = {}) =>
    send(method, `/volume/v3${path}`, { ...more, headers: { ...LATEST, ...more.headers } })
  const show = async (id: string) => (await request('GET', `/volumes/${id}`)).body.volume
  const idle = () => service.context.engine.idle()
  return {
    service,
    bus,
    storage: host,
    images,
    notices,
    server,
    request,
    show,
    idle,
    async volume(body = {}, as = 'member') {
      const answer = await request('POST', '/volumes', { as, body: { volume: { size: 1, name: 'data', ...body } } })
      if (answer.status !== 202) throw new Error(JSON.stringify(answer.body))
      await idle()
      return await show(answer.body.volume.id)
    },
    async close() {
      await close()
      if (!beside) host.stop()
      await service.stop()
    },
  }
}
