import { hostReported } from '../../../compute/app/host.ts'
import type { HostState } from '../../../compute/rpc.ts'
import { eventually, type Yard } from '../../../compute/sagas/testing.ts'
import { fromJson } from '../../../kernel/db/columns.ts'
import { computeAsk } from './compute-ask-testing.ts'
import { older } from './compute-older-testing.ts'
import { newServers, serverLife } from './compute-servers-testing.ts'
import type { Writes } from './writes-testing.ts'

export const computeWrites: Writes = async (of, world) => {
  const { yard, counts } = world
  const ask = computeAsk(counts.ask)
  // as many of everything as the server that was sown has items of metadata
  const { metadata } = await yard.cloud.api('GET', `/compute/v2.1/servers/${of.server}/metadata`)
  const many = Object.keys(metadata).length
  const names = Array.from({ length: many }, (_, i) => `item-${i}`)

  const { flavor } = await ask('POST', '/flavors', {
    flavor: { name: `private-${many}`, ram: 64, vcpus: 1, disk: 1, 'os-flavor-access:is_public': false },
  })
  await ask('PUT', `/flavors/${flavor.id}`, { flavor: { description: 'ours' } })
  await ask('POST', `/flavors/${flavor.id}/os-extra_specs`, { extra_specs: Object.fromEntries(names.map((name) => [name, 'a'])) })
  await ask('PUT', `/flavors/${flavor.id}/os-extra_specs/item-0`, { 'item-0': 'b' })
  await ask('DELETE', `/flavors/${flavor.id}/os-extra_specs/item-0`)
  for (const tenant of names) await ask('POST', `/flavors/${flavor.id}/action`, { addTenantAccess: { tenant } })
  await ask('POST', `/flavors/${flavor.id}/action`, { addTenantAccess: { tenant: 'last' } })
  await ask('POST', `/flavors/${flavor.id}/action`, { removeTenantAccess: { tenant: 'last' } })
  await ask('DELETE', `/flavors/${flavor.id}`)

  await ask('POST', '/os-keypairs', { keypair: { name: 'made' } }, '2.91')
  await ask('DELETE', '/os-keypairs/made')
  const { server_group: group } = await ask('POST', '/os-server-groups', { server_group: { name: 'close', policy: 'soft-affinity' } })

  const { aggregate } = await ask('POST', '/os-aggregates', { aggregate: { name: 'rack' } })
  const path = `/os-aggregates/${aggregate.id}`
  await ask('PUT', path, { aggregate: { name: 'shelf' } })
  const images = await Promise.all(names.map((name) => withData(yard.cloud.api, name)))
  for (const host of ['node1', 'node2']) await ask('POST', `${path}/action`, { add_host: { host } })
  await ask('POST', `${path}/action`, { set_metadata: { metadata: Object.fromEntries(names.map((name) => [name, 'a'])) } })
  await ask('POST', `${path}/images`, { cache: images.map((id) => ({ id })) })
  for (const host of ['node1', 'node2']) await ask('POST', `${path}/action`, { remove_host: { host } })
  await ask('DELETE', path)

  const quota = `/os-quota-sets/${of.project}`
  const limits = { instances: 20, cores: 40, ram: 1024, key_pairs: 50, metadata_items: 90, server_groups: 20 }
  const some = Object.fromEntries(Object.entries(limits).slice(0, many))
  await ask('PUT', quota, { quota_set: some })
  await ask('DELETE', quota)
  await ask('PUT', '/os-quota-class-sets/default', { quota_class_set: some })
  await yard.context.database.db.deleteFrom('quotas').where('owner', '=', 'class:default').execute()

  const tidy = await leftovers(yard)
  const servers = await newServers(of, world, { names, images }, group.id)
  await ask('POST', '/os-server-external-events', {
    events: servers.map((id) => ({ server_uuid: id, name: 'network-changed' })),
  })
  await serverLife(of, world, { names, images, servers })
  await tidy()
  await ask('DELETE', `/os-server-groups/${group.id}`)
  await hosts(world)
  await older(of, world, names)
  for (const id of images) await yard.cloud.api('DELETE', `/image/v2/images/${id}`)
}

const LEFT = {
  snapshots: '/volume/v3/snapshots',
  volumes: '/volume/v3/volumes',
  ports: '/network/v2.0/ports',
  security_groups: '/network/v2.0/security-groups',
}

/** What is left when servers are gone that were given it, or were pictured; call the answer to take away what has come since. */
async function leftovers(yard: Yard): Promise<() => Promise<void>> {
  const ids = async ([kind, path]: [string, string]): Promise<string[]> =>
    (await yard.cloud.api('GET', path))[kind].map(({ id }: { id: string }) => id)
  const before = new Set((await Promise.all(Object.entries(LEFT).map(ids))).flat())
  return async () => {
    await yard.settled()
    for (const [kind, path] of Object.entries(LEFT)) {
      const since = async () => (await ids([kind, path])).filter((id) => !before.has(id))
      for (const id of await since()) await yard.cloud.api('DELETE', `${path}/${id}`)
      const left = await eventually(since, (those) => those.length === 0)
      if (left.length > 0) throw new Error(`${left.length} ${kind} stay`)
    }
  }
}

async function withData(api: (...asked: any[]) => Promise<any>, name: string): Promise<string> {
  const { id } = await api('POST', '/image/v2/images', { name, disk_format: 'raw', container_format: 'bare' })
  await api('PUT', `/image/v2/images/${id}/file`, new Uint8Array(512), { 'content-type': 'application/octet-stream' })
  return id
}

/** What an operator says of hosts; a third one comes for it and goes. */
async function hosts({ yard, counts }: Parameters<Writes>[1]): Promise<void> {
  const ask = computeAsk(counts.ask)
  const { db } = yard.context.database
  const { state_json } = await db.selectFrom('hosts').select('state_json').where('host', '=', 'node1').executeTakeFirstOrThrow()
  const state = fromJson<HostState>(state_json)
  await hostReported(yard.context, { ...state, host: 'node9', hypervisorHostname: 'node9' })
  const host = 'node9'
  await ask('PUT', '/os-services/disable', { host }, '2.52')
  await ask('PUT', '/os-services/disable-log-reason', { host, disabled_reason: 'ours' }, '2.52')
  await ask('PUT', '/os-services/enable', { host }, '2.52')
  await ask('PUT', '/os-services/force-down', { host }, '2.52')
  await ask('PUT', `/os-hosts/${host}`, { status: 'disable' }, '2.42')
  const { services } = await yard.cloud.api('GET', `/compute/v2.1/os-services?host=${host}`, undefined, {
    'openstack-api-version': 'compute 2.53',
  })
  await ask('PUT', `/os-services/${services[0].id}`, { status: 'enabled', forced_down: false })
  await ask('DELETE', `/os-services/${services[0].id}`)
}

export const clusterWrites: Writes = async (_of, { yard, counts }) => {
  const { token } = await counts.ask('POST', '/cluster/v1/join-tokens')
  await yard.cloud.api('POST', '/cluster/v1/join', { token, host: 'node9', roles: ['compute'] })
  await counts.ask('DELETE', '/cluster/v1/members/node9')
}
