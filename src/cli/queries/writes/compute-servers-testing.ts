import { eventually } from '../../../compute/sagas/testing.ts'
import type { Sown } from '../sown-testing.ts'
import { computeAsk } from './compute-ask-testing.ts'
import type { Writes } from './writes-testing.ts'

type World = Parameters<Writes>[1]

export interface Given {
  /** As many as there are belongings. */
  names: string[]
  /** As many, with data. */
  images: string[]
}

/** Asks for as many servers at once, for one with as many networks and disks, and for one with ports, volumes and snapshots that are there, which comes last; returns the ids of all. */
export async function newServers(of: Sown, { yard, counts }: World, { names, images }: Given, groupId: string): Promise<string[]> {
  const { api } = yard.cloud
  const ask = computeAsk(counts.ask)
  const each = <T>(make: (name: string, i: number) => Promise<T>): Promise<T[]> => Promise.all(names.map(make))
  const groups = await each(async (name) => {
    const { security_group: one } = await api('POST', '/network/v2.0/security-groups', { security_group: { name } })
    return one.id as string
  })
  const common = {
    imageRef: yard.imageId,
    flavorRef: yard.flavorId,
    metadata: Object.fromEntries(names.map((name) => [name, 'a'])),
    tags: names,
    security_groups: groups.map((name) => ({ name })),
  }
  const create = (way: string, server: object) =>
    ask('POST', '/servers', { server: { name: 'ours', ...common, ...server }, 'os:scheduler_hints': { group: groupId } }, 'latest', way)
  const own = { source_type: 'image', uuid: yard.imageId, destination_type: 'local', boot_index: 0, delete_on_termination: true }
  const disk = { destination_type: 'volume', volume_size: 1, boot_index: -1, delete_on_termination: true }
  const blank = { ...disk, source_type: 'blank' }
  const { server: first } = await create('many networks and disks', {
    networks: names.map((_, i) => ({ uuid: i === 0 ? of.network : yard.networkId })),
    block_device_mapping_v2: [own, ...names.map(() => blank)],
  })
  await create('many servers', {
    min_count: names.length,
    networks: [{ uuid: yard.networkId }],
    block_device_mapping_v2: [own, blank],
  })
  const ports = await each(async () => (await api('POST', '/network/v2.0/ports', { port: { network_id: yard.networkId } })).port.id)
  const volumes = await each(() => yard.volume())
  const snapshots = await each(async (_name, i) => {
    const { snapshot } = await api('POST', '/volume/v3/snapshots', { snapshot: { volume_id: volumes[i] } })
    await eventually(
      async () => (await api('GET', `/volume/v3/snapshots/${snapshot.id}`)).snapshot.status,
      (status) => status === 'available',
    )
    return snapshot.id
  })
  const { server: last } = await create('what is there', {
    imageRef: undefined,
    networks: ports.map((port) => ({ port })),
    block_device_mapping_v2: [
      ...images.map((uuid, i) => ({ ...disk, source_type: 'image', uuid, boot_index: i === 0 ? 0 : -1 })),
      ...volumes.map((uuid) => ({ ...disk, source_type: 'volume', uuid })),
      ...snapshots.map((uuid) => ({ ...disk, source_type: 'snapshot', uuid })),
    ],
  })
  await yard.settled()
  const { servers } = await api('GET', '/compute/v2.1/servers/detail?name=ours')
  const failed = servers.find(({ status }: { status: string }) => status !== 'ACTIVE')
  if (failed) throw new Error(`${failed.name} is ${failed.status}: ${failed.fault?.message}`)
  const others = servers.map(({ id }: { id: string }) => id).filter((id: string) => ![first.id, last.id].includes(id))
  return [first.id, ...others, last.id]
}

/** Everything that can be done to a server, each in a state in which it can. */
export async function serverLife(of: Sown, { yard, counts }: World, { names, servers }: Given & { servers: string[] }): Promise<void> {
  const ask = computeAsk(counts.ask)
  const [id, ...others] = servers
  const path = `/servers/${id}`
  const act = async (action: string, body: unknown = null, at = 'latest') => {
    const answer = await ask('POST', `${path}/action`, { [action]: body }, at)
    await yard.settled()
    return answer
  }
  const metadata = Object.fromEntries(names.map((name) => [name, 'b']))
  await ask('PUT', path, { server: { description: 'ours' } })
  await ask('POST', `${path}/metadata`, { metadata })
  await ask('PUT', `${path}/metadata`, { metadata })
  await ask('PUT', `${path}/metadata/last`, { meta: { last: 'a' } })
  await ask('DELETE', `${path}/metadata/last`)
  await ask('PUT', `${path}/tags/last`)
  await ask('DELETE', `${path}/tags/last`)
  await ask('PUT', `${path}/tags`, { tags: names })
  await ask('DELETE', `${path}/tags`)
  await ask('DELETE', `${path}/os-server-password`)
  await ask('POST', `${path}/remote-consoles`, { remote_console: { protocol: 'vnc', type: 'novnc' } })
  await act('os-getVNCConsole', { type: 'novnc' }, '2.5')
  await act('os-getConsoleOutput', {})
  await act('changePassword', { adminPass: 'ours' })
  await act('lock')
  await act('unlock')
  await act('injectNetworkInfo', null)
  await act('resetNetwork', null)
  await act('trigger_crash_dump')
  await act('addSecurityGroup', { name: of.group })
  await act('removeSecurityGroup', { name: of.group })
  await act('os-resetState', { state: 'active' })
  await counts.refused(409, 'POST', `/compute/v2.1${path}/action`, { restore: null }) // what is deleted is gone at once

  for (const kind of ['soft', 'hard']) await act('reboot', { type: kind.toUpperCase() })
  for (const action of ['pause', 'unpause', 'suspend', 'resume', 'os-stop', 'os-start']) await act(action)
  await pictures(act, yard, names)
  await attachments(of, { yard, counts }, path)
  await act('rebuild', { imageRef: yard.imageId, metadata })
  await act('rescue')
  await act('unrescue')
  await act('shelve')
  await act('unshelve')
  await moves(act, { yard, counts }, id!)
  // that boots from a volume, and could not leave its host
  const last = others.at(-1)!
  await ask('POST', `/servers/${last}/action`, { createImage: { name: 'volumes', metadata } })
  await yard.settled()
  await ask('POST', `/servers/${last}/action`, { rebuild: { imageRef: yard.imageId } }, 'latest', 'over its volume')
  await yard.settled()
  await yard.context.database.db.updateTable('instances').set({ vm_state: 'shelved' }).where('id', '=', last).execute()
  for (const action of ['shelveOffload', 'unshelve']) {
    await ask('POST', `/servers/${last}/action`, { [action]: null })
    await yard.settled()
  }
  for (const one of others) await ask('DELETE', `/servers/${one}`)
  await act('forceDelete')
}

type Act = (action: string, body?: unknown, at?: string) => Promise<any>

/** Images and backups of it, as clients have asked for them. */
async function pictures(act: Act, { cloud }: World['yard'], names: string[]): Promise<void> {
  const metadata = Object.fromEntries(names.map((name) => [name, 'a']))
  for (const at of ['2.44', 'latest']) {
    await act('createImage', { name: 'picture', metadata }, at)
    await act('createBackup', { name: 'backup', backup_type: 'daily', rotation: names.length, metadata }, at)
  }
  for (const name of ['picture', 'backup'])
    for (const { id } of (await cloud.api('GET', `/image/v2/images?name=${name}`)).images)
      await cloud.api('DELETE', `/image/v2/images/${id}`)
}

async function attachments(of: Sown, { yard, counts }: Pick<World, 'yard' | 'counts'>, path: string): Promise<void> {
  const ask = computeAsk(counts.ask)
  const [volumeId, other] = [await yard.volume(), await yard.volume()]
  await ask('POST', `${path}/os-volume_attachments`, { volumeAttachment: { volumeId } })
  await yard.settled()
  await ask('PUT', `${path}/os-volume_attachments/${volumeId}`, { volumeAttachment: { volumeId, delete_on_termination: true } })
  await ask('PUT', `${path}/os-volume_attachments/${volumeId}`, { volumeAttachment: { volumeId: other } }, 'latest', 'swap')
  await yard.settled()
  await ask('DELETE', `${path}/os-volume_attachments/${other}`)
  await yard.settled()
  for (const one of [volumeId, other]) await yard.cloud.api('DELETE', `/volume/v3/volumes/${one}`)
  const { interfaceAttachment: card } = await ask('POST', `${path}/os-interface`, { interfaceAttachment: { net_id: of.network } })
  await ask('DELETE', `${path}/os-interface/${card.port_id}`)
  await yard.settled()
  const act = (action: string, body: object) => ask('POST', `${path}/action`, { [action]: body }, '2.43')
  const cards = async (): Promise<any[]> => (await ask('GET', `${path}/os-interface`)).interfaceAttachments
  const addresses = async () => (await cards()).filter((one) => one.net_id === of.network).flatMap((one) => one.fixed_ips)
  const [first] = await addresses()
  await act('addFixedIp', { networkId: of.network })
  const second = (await addresses()).find(({ ip_address: one }) => one !== first.ip_address)
  await act('removeFixedIp', { address: second.ip_address })
  const { floating_ip: floating } = await ask('POST', '/os-floating-ips', { pool: 'public' }, '2.35')
  await act('addFloatingIp', { address: floating.ip, fixed_address: first.ip_address })
  await act('removeFloatingIp', { address: floating.ip })
  await ask('DELETE', `/os-floating-ips/${floating.id}`, undefined, '2.35')
}

/** From host to host and from flavor to flavor. */
async function moves(act: Act, { yard, counts }: Pick<World, 'yard' | 'counts'>, id: string): Promise<void> {
  const ask = computeAsk(counts.ask)
  const { db } = yard.context.database
  for (const action of ['confirmResize', 'revertResize']) {
    await act('migrate', {})
    await act(action)
  }
  await act('resize', { flavorRef: yard.largeFlavorId })
  await act('revertResize')
  await act('resize', { flavorRef: yard.largeFlavorId })
  await act('confirmResize')
  await act('os-migrateLive', { host: null, block_migration: 'auto' })
  const { server } = await ask('GET', `/servers/${id}`)
  const host = server['OS-EXT-SRV-ATTR:host']
  const { number } = await db
    .selectFrom('migrations')
    .select('number')
    .where('server_id', '=', id)
    .where('type', '=', 'live-migration')
    .executeTakeFirstOrThrow()
  const become = (status: string) => db.updateTable('migrations').set({ status, source_host: host }).where('number', '=', number).execute()
  await become('running')
  await ask('POST', `/servers/${id}/migrations/${number}/action`, { force_complete: null })
  await become('preparing')
  await ask('DELETE', `/servers/${id}/migrations/${number}`)
  await act('os-resetState', { state: 'active' })
  const { services } = await ask('GET', `/os-services?host=${host}&binary=nova-compute`)
  await ask('PUT', `/os-services/${services[0].id}`, { forced_down: true })
  await act('evacuate', {})
  await ask('PUT', `/os-services/${services[0].id}`, { forced_down: false })
}
