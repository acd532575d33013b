import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { type TestCloud, type TestCloudOptions, testCloud } from '../../cloud/testing.ts'
import { findLeaks } from '../../doctor/leaks.ts'
import { inMemory } from '../../kernel/http/client.ts'
import type { SagaEngine } from '../../kernel/saga/engine.ts'
import type { SagaWorld } from '../../kernel/saga/testing.ts'
import { recordMigration } from '../app/migration.ts'
import { findInstance } from '../db/instances.ts'
import type { MigrationRow } from '../db/tables.ts'

/** One simulated cloud for the tests of all sagas: each case brings a server of its own and takes it away again. */
export class Yard {
  readonly cloud: TestCloud
  readonly imageId: string
  readonly networkId: string
  readonly flavorId: string
  readonly largeFlavorId: string

  private constructor(cloud: TestCloud, ids: { image: string; network: string; flavor: string; large: string }) {
    this.cloud = cloud
    this.imageId = ids.image
    this.networkId = ids.network
    this.flavorId = ids.flavor
    this.largeFlavorId = ids.large
  }

  static async open(options: TestCloudOptions = {}): Promise<Yard> {
    return await Yard.over(await testCloud(options))
  }

  /** Makes what servers need in a cloud that is there. */
  static async over(cloud: TestCloud): Promise<Yard> {
    const { api } = cloud
    const image = await uploaded(cloud, 'tiny', '')
    const { network } = await api('POST', '/network/v2.0/networks', { network: { name: 'private' } })
    await api('POST', '/network/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.7.0.0/22' } })
    const flavor = async (name: string, ram: number) =>
      (await api('POST', '/compute/v2.1/flavors', { flavor: { name, ram, vcpus: 1, disk: 1 } })).flavor.id
    const { projects } = await api('GET', '/identity/v3/auth/projects')
    const project = projects.find((one: { name: string }) => one.name === 'demo').id
    await api('PUT', `/compute/v2.1/os-quota-sets/${project}`, { quota_set: { instances: -1, cores: -1, ram: -1 } })
    await api('PUT', `/network/v2.0/quotas/${project}`, { quota: { port: -1, security_group: -1 } })
    await api('PUT', `/volume/v3/os-quota-sets/${project}`, { quota_set: { volumes: -1, snapshots: -1, gigabytes: -1 } })
    return new Yard(cloud, { image, network: network.id, flavor: await flavor('small', 64), large: await flavor('large', 128) })
  }

  get context() {
    return this.cloud.control.compute.context
  }

  async request(own: object = {}): Promise<string> {
    const { server } = await this.cloud.api('POST', '/compute/v2.1/servers', {
      server: { name: 'one', imageRef: this.imageId, flavorRef: this.flavorId, networks: [{ uuid: this.networkId }], ...own },
    })
    return server.id
  }

  /** A server that runs. */
  async server(own: object = {}): Promise<string> {
    const id = await this.request(own)
    await this.settled()
    const { server } = await this.cloud.api('GET', `/compute/v2.1/servers/${id}`)
    if (server.status !== 'ACTIVE') throw new Error(`the server is ${server.status}: ${server.fault?.message}`)
    return id
  }

  /** One that everybody may use, with these bytes at its beginning. */
  async image(data: string): Promise<string> {
    return await uploaded(this.cloud, 'other', data, { visibility: 'public' })
  }

  /** What a server has of its own that boots from a volume with the image. */
  onVolume() {
    const root = { source_type: 'image', destination_type: 'volume', uuid: this.imageId, boot_index: 0, volume_size: 1 }
    return { imageRef: '', block_device_mapping_v2: [{ ...root, delete_on_termination: true }] }
  }

  /** A volume that can be attached. */
  async volume(): Promise<string> {
    const { volume } = await this.cloud.api('POST', '/volume/v3/volumes', { volume: { size: 1 } })
    const show = async () => (await this.cloud.api('GET', `/volume/v3/volumes/${volume.id}`)).volume
    await eventually(show, (now) => now.status === 'available')
    return volume.id
  }

  /** Resolves when compute has nothing under way. */
  settled(): Promise<void> {
    return this.context.engine.idle()
  }

  async remove(id: string): Promise<void> {
    await this.context.database.db.updateTable('instances').set({ task_state: null, locked: 0 }).where('id', '=', id).execute()
    await this.cloud.api('DELETE', `/compute/v2.1/servers/${id}`).catch(() => {})
    await this.settled()
  }

  /** What is somewhere and belongs to nobody. */
  async leaks(): Promise<string[]> {
    const { bus, control, token } = this.cloud
    const transport = inMemory(control.server.edge)
    const { leaks } = await findLeaks({ bus, transport, token: async () => token })
    return leaks.map((one) => `${one.kind} ${one.name} on ${one.where}: ${one.why}`)
  }
}

async function uploaded({ api }: TestCloud, name: string, data: string, more: object = {}): Promise<string> {
  const image = await api('POST', '/image/v2/images', { name, disk_format: 'raw', container_format: 'bare', ...more })
  const bytes = Buffer.from(data.padEnd(4096, '\0'), 'latin1')
  await api('PUT', `/image/v2/images/${image.id}/file`, bytes, { 'content-type': 'application/octet-stream' })
  return image.id
}

export interface Case {
  kind: string
  /** Brings the server into the state in which the operation begins; its saga's input. */
  input: (yard: Yard, serverId: string) => Promise<Record<string, unknown>> | Record<string, unknown>
  /** Status when it is done. */
  status: string
  /** And its task, where another saga follows (default: none). */
  task?: string
  /** And when it failed (default ACTIVE): a guest that was stopped meanwhile is told to be. */
  failed?: string[]
  /** What the server is made with. */
  own?: (yard: Yard) => object
  /** What else is wrong afterwards. */
  wrong?: (yard: Yard, serverId: string) => Promise<string[]>
}

/** What `look` shows when it is as wanted, or after two seconds. */
export async function eventually<T>(look: () => Promise<T>, asWanted: (now: T) => boolean): Promise<T> {
  for (const end = Date.now() + 20_000; ; ) {
    const now = await look()
    if (asWanted(now) || Date.now() > end) return now
    await setTimeout(10)
  }
}

/** A server in a yard, ready for one saga. */
export function worldOf(
  yard: () => Yard,
  { kind, input, status, task: next, failed = ['ACTIVE'], own, wrong: more }: Case,
): () => Promise<SagaWorld> {
  return async () => {
    const { context, cloud } = yard()
    const id = await yard().server(own?.(yard()))
    const given = await input(yard(), id)
    const shown = async () => (await cloud.api('GET', `/compute/v2.1/servers/${id}`).catch(() => ({ server: { status: 'gone' } }))).server
    const wrong = async (wanted: string[], busyWith: string | null = null): Promise<string[]> => {
      // a host's word of its guest may still be on its way
      const server = await eventually(shown, (now) => wanted.includes(now.status))
      const state = wanted.includes(server.status)
        ? []
        : [`the server is ${server.status}, not ${wanted.join(' or ')}: ${server.fault?.message ?? ''}`]
      const { 'OS-EXT-STS:task_state': doing = null } = server
      const task = doing === busyWith ? [] : [`its task_state is ${doing}, not ${busyWith}`]
      return [...state, ...task, ...((await more?.(yard(), id)) ?? []), ...(await yard().leaks())]
    }
    return {
      database: context.database,
      context,
      async submit(engine: SagaEngine<any>) {
        const sagaId = await context.database.transaction((trx) =>
          engine.submit(trx, { kind, subject: `server:${id}`, requestId: `req-${randomUUID()}`, input: { serverId: id, ...given } }),
        )
        engine.wake(`server:${id}`)
        return sagaId
      },
      leftovers: () => wrong(failed),
      arrived: () => wrong([status], next),
      close: () => yard().remove(id),
    }
  }
}

/** A migration as the API writes it when it is asked for. */
export async function recorded(at: Yard, id: string, type: MigrationRow['type']): Promise<string> {
  const { database } = at.context
  const migrationId = randomUUID()
  const instance = (await findInstance(database.db, id))!
  const asker = { userId: instance.user_id, projectId: instance.project_id }
  await database.transaction((trx) => recordMigration(trx, asker, instance, { id: migrationId, type }))
  return migrationId
}
