import { eventually } from '../../../compute/sagas/testing.ts'
import type { Writes } from './writes-testing.ts'

const AT = '/volume/v3'
const NEWEST = { 'openstack-api-version': 'volume 3.70' }
const CONNECTOR = { initiator: 'iqn.2026-01.test:one', host: 'node1', ip: '127.0.0.1' }
const SERVERS = '00000000-0000-4000-8000-00000000000'
const unlimited = { volumes: -1, gigabytes: -1, snapshots: -1 }

/** Of volumes, types and QoS specs that have as much as belongs to the volume that was sown: metadata, snapshots, attachments, specs. */
export const volumeWrites: Writes = async (of, { yard, counts, owners: { project } }) => {
  const ask = (method: string, path: string, body?: object) => counts.ask(method, `${AT}${path}`, body, NEWEST)
  const api = (method: string, path: string, body?: object) => yard.cloud.api(method, `${AT}${path}`, body, NEWEST)
  const many = Object.keys((await api('GET', `/volumes/${of.volume}/metadata`)).metadata).length - 1
  const each = <T>(one: (i: number) => T): T[] => Array.from({ length: many }, (_, i) => one(i))
  const pairs = (name: string) => Object.fromEntries(each((i) => [`${name}-${i}`, 'a']))
  const act = (id: string, name: string, body: unknown = {}, by = ask) => by('POST', `/volumes/${id}/action`, { [name]: body })
  const isNow = async (path: string, key: string, ...statuses: string[]) => {
    const show = () =>
      api('GET', path).then(
        (answer) => answer[key].status,
        () => 'gone',
      )
    const status = await eventually(show, (now) => statuses.includes(now))
    if (!statuses.includes(status)) throw new Error(`${path} is ${status}`)
  }
  const volumeIs = (id: string, ...statuses: string[]) => isNow(`/volumes/${id}`, 'volume', ...statuses)
  const snapshotIs = (id: string, ...statuses: string[]) => isNow(`/snapshots/${id}`, 'snapshot', ...statuses)
  const volume = async (more: object = {}, by = api): Promise<string> => {
    const { id } = (await by('POST', '/volumes', { volume: { size: 1, metadata: pairs('of'), ...more } })).volume
    await volumeIs(id, 'available')
    return id
  }
  const snapshot = async (volume_id: string, by = api): Promise<string> => {
    const { id } = (await by('POST', '/snapshots', { snapshot: { volume_id, metadata: pairs('of') } })).snapshot
    await snapshotIs(id, 'available')
    return id
  }
  /** Attached to many servers, and by older clients, who do not say to which. */
  const shared = async (legacy: boolean): Promise<{ id: string; attachments: string[] }> => {
    const id = await volume({ multiattach: true })
    const attachments: string[] = []
    for (let i = 0; i < many; i++)
      if (legacy) await act(id, 'os-reserve', {}, api)
      else
        attachments.push(
          (await api('POST', '/attachments', { attachment: { volume_uuid: id, instance_uuid: `${SERVERS}${i}` } })).attachment.id,
        )
    return { id, attachments }
  }

  await ask('PUT', `/os-quota-sets/${project}`, { quota_set: unlimited })
  await ask('PUT', '/os-quota-class-sets/default', { quota_class_set: { volumes: 10, snapshots: 10, gigabytes: 1000, backups: 10 } })

  const rich = await volume()
  await act(rich, 'os-set_image_metadata', { metadata: pairs('image') })
  const snapshots: string[] = []
  for (let i = 0; i < many; i++) snapshots.push(await snapshot(rich))
  const newest = await snapshot(rich, ask)
  const copy = await volume({ source_volid: rich }, ask)
  const other = await volume({ snapshot_id: newest }, ask)
  await metadata(`/volumes/${rich}`)
  await metadata(`/snapshots/${newest}`)
  async function metadata(path: string): Promise<void> {
    const key = path.startsWith('/volumes') ? 'volume' : 'snapshot'
    await ask('PUT', path, { [key]: { name: 'changed', metadata: pairs('changed') } })
    await ask('POST', `${path}/metadata`, { metadata: pairs('more') })
    await ask('PUT', `${path}/metadata`, { metadata: pairs('instead') })
    await ask('PUT', `${path}/metadata/instead-0`, { meta: { 'instead-0': 'b' } })
    await ask('DELETE', `${path}/metadata/instead-0`)
  }

  await act(rich, 'os-show_image_metadata')
  await act(rich, 'os-unset_image_metadata', { key: 'image-0' })
  await act(rich, 'os-set_bootable', { bootable: true })
  await act(rich, 'os-update_readonly_flag', { readonly: false })
  await act(rich, 'os-reset_status', { status: 'available', attach_status: 'detached' })
  await act(rich, 'revert', { snapshot_id: newest })
  await volumeIs(rich, 'available')
  const uploaded = (await act(rich, 'os-volume_upload_image', { image_name: 'of-volume' }))['os-volume_upload_image'].image_id
  await volumeIs(rich, 'available')
  await yard.cloud.api('DELETE', `/image/v2/images/${uploaded}`)
  await act(rich, 'os-reimage', { image_id: yard.imageId })
  await volumeIs(rich, 'available')
  await act(copy, 'os-extend', { new_size: 2 })
  await volumeIs(copy, 'available')

  // a type that many projects may use, and QoS specs that many types have
  const type = (
    await ask('POST', '/types', { volume_type: { name: 'many', extra_specs: pairs('of'), 'os-volume-type-access:is_public': false } })
  ).volume_type.id
  for (const one of [project, ...each((i) => `project-${i}`)])
    await ask('POST', `/types/${type}/action`, { addProjectAccess: { project: one } })
  await ask('PUT', `/types/${type}`, { volume_type: { description: 'changed' } })
  await ask('POST', `/types/${type}/extra_specs`, { extra_specs: pairs('more') })
  await ask('PUT', `/types/${type}/extra_specs/more-0`, { 'more-0': 'b' })
  await ask('DELETE', `/types/${type}/extra_specs/more-0`)
  await ask('POST', `/types/${type}/action`, { removeProjectAccess: { project: 'project-0' } })
  const nowhere = (await api('POST', '/types', { volume_type: { name: 'nowhere', extra_specs: { volume_backend_name: 'none' } } }))
    .volume_type.id
  await act(other, 'os-retype', { new_type: 'nowhere' })
  const [message] = (await api('GET', '/messages')).messages
  await ask('DELETE', `/messages/${message.id}`)
  const qos = (await ask('POST', '/qos-specs', { qos_specs: { name: 'many', ...pairs('of') } })).qos_specs.id
  await ask('PUT', `/qos-specs/${qos}`, { qos_specs: pairs('more') })
  await ask('PUT', `/qos-specs/${qos}/delete_keys`, { keys: Object.keys(pairs('more')) })
  const types: string[] = []
  for (let i = 0; i < many; i++) types.push((await api('POST', '/types', { volume_type: { name: `many-${i}` } })).volume_type.id)
  for (const one of types) await api('GET', `/qos-specs/${qos}/associate?vol_type_id=${one}`)
  await ask('DELETE', `/qos-specs/${qos}?force=true`)
  for (const one of [...types, nowhere]) await api('DELETE', `/types/${one}`)
  await ask('DELETE', `/types/${type}`)

  // attached many times
  const [attached, reserved] = [await shared(false), await shared(true)]
  const attachment = { volume_uuid: attached.id, instance_uuid: `${SERVERS}9`, connector: CONNECTOR }
  const { id } = (await ask('POST', '/attachments', { attachment })).attachment
  await ask('PUT', `/attachments/${id}`, { attachment: { connector: CONNECTOR } })
  await ask('POST', `/attachments/${id}/action`, { 'os-complete': null })
  await act(attached.id, 'os-begin_detaching')
  await act(attached.id, 'os-roll_detaching')
  await ask('DELETE', `/attachments/${id}`)
  await act(attached.id, 'os-force_detach', { attachment_id: attached.attachments[0] })
  await act(reserved.id, 'os-reserve')
  await act(reserved.id, 'os-initialize_connection', { connector: CONNECTOR })
  await act(reserved.id, 'os-terminate_connection', { connector: CONNECTOR })
  await act(reserved.id, 'os-attach', { instance_uuid: `${SERVERS}9`, mountpoint: '/dev/vdz' })
  const there = (await api('GET', `/attachments?volume_id=${reserved.id}&status=attached`)).attachments
  await act(reserved.id, 'os-detach', { attachment_id: there[0].id })
  await act(reserved.id, 'os-unreserve')
  for (const one of attached.attachments.slice(1)) await api('DELETE', `/attachments/${one}`)

  // given away with its snapshots
  for (const path of ['/os-volume-transfer', '/volume-transfers']) {
    const offer = () => ask('POST', path, { transfer: { volume_id: rich } })
    await ask('DELETE', `${path}/${(await offer()).transfer.id}`)
    const { transfer } = await offer()
    await ask('POST', `${path}/${transfer.id}/accept`, { accept: { auth_key: transfer.auth_key } })
  }

  const [host] = (await api('GET', '/os-services?binary=cinder-volume')).services.map((one: { host: string }) => one.host)
  for (const how of ['freeze', 'thaw']) await ask('PUT', `/os-services/${how}`, { host })
  await ask('PUT', '/os-services/disable-log-reason', { host, binary: 'cinder-volume', disabled_reason: 'a test' })
  for (const how of ['disable', 'enable']) await ask('PUT', `/os-services/${how}`, { host, binary: 'cinder-volume' })

  await ask('POST', `/snapshots/${newest}/action`, { 'os-reset_status': { status: 'creating' } })
  await ask('POST', `/snapshots/${newest}/action`, { 'os-update_snapshot_status': { status: 'available', progress: '100%' } })
  await ask('DELETE', `/snapshots/${newest}`)
  await snapshotIs(newest, 'gone')
  const last = await snapshot(rich)
  await ask('POST', `/snapshots/${last}/action`, { 'os-force_delete': {} })
  await snapshotIs(last, 'gone')
  await ask('DELETE', `/volumes/${rich}?cascade=true`)
  await act(copy, 'os-force_delete')
  for (const one of [other, attached.id, reserved.id]) await api('DELETE', `/volumes/${one}`)
  for (const one of [rich, copy, other, attached.id, reserved.id]) await volumeIs(one, 'gone')
  await ask('DELETE', `/os-quota-sets/${project}`)
  await api('PUT', `/os-quota-sets/${project}`, { quota_set: unlimited })
}
