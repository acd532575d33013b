import { eventually } from '../../../compute/sagas/testing.ts'
import { routesOf } from '../counting-testing.ts'
import type { Sown } from '../sown-testing.ts'
import { computeAsk } from './compute-ask-testing.ts'
import type { Writes } from './writes-testing.ts'

/** What compute passes on to other services in its oldest microversions, and what it does no longer. */
export async function older(of: Sown, { yard, counts }: Parameters<Writes>[1], names: string[]): Promise<void> {
  const asked = computeAsk(counts.ask)
  const ask = (method: string, path: string, body?: unknown) => asked(method, path, body, '2.35')
  const image = await yard.cloud.api('POST', '/image/v2/images', { name: 'older', disk_format: 'raw', container_format: 'bare' })
  const metadata = Object.fromEntries(names.map((name) => [name, 'a']))
  await ask('POST', `/images/${image.id}/metadata`, { metadata })
  await ask('PUT', `/images/${image.id}/metadata`, { metadata: { ...metadata, last: 'b' } })
  await ask('PUT', `/images/${image.id}/metadata/last`, { meta: { last: 'c' } })
  await ask('DELETE', `/images/${image.id}/metadata/last`)
  await ask('DELETE', `/images/${image.id}`)

  const { security_group: group } = await ask('POST', '/os-security-groups', { security_group: { name: 'older' } })
  for (const port of names.keys()) {
    const wish = { parent_group_id: group.id, ip_protocol: 'tcp', from_port: port + 1, to_port: port + 1, group_id: of.group }
    const { security_group_rule: rule } = await ask('POST', '/os-security-group-rules', { security_group_rule: wish })
    if (port === 0) await ask('DELETE', `/os-security-group-rules/${rule.id}`)
  }
  await ask('PUT', `/os-security-groups/${group.id}`, { security_group: { name: 'newer' } })
  await ask('DELETE', `/os-security-groups/${group.id}`)

  const available = async (kind: 'volume' | 'snapshot', id: string) =>
    await eventually(
      async () => (await yard.cloud.api('GET', `/volume/v3/${kind}s/${id}`))[kind].status,
      (status) => status === 'available',
    )
  const { volume } = await ask('POST', '/os-volumes', { volume: { size: 1, metadata } })
  await available('volume', volume.id)
  const { snapshot } = await ask('POST', '/os-snapshots', { snapshot: { volume_id: volume.id } })
  await available('snapshot', snapshot.id)
  await ask('DELETE', `/os-snapshots/${snapshot.id}`)
  await eventually(
    async () => (await yard.cloud.api('GET', `/volume/v3/snapshots?volume_id=${volume.id}`)).snapshots.length,
    (left) => left === 0,
  )
  await ask('DELETE', `/os-volumes/${volume.id}`)

  for (const { api, route } of routesOf(yard, ({ method, policy }) => method !== 'GET' && policy === 'os_compute_api:yun-removed'))
    await counts.refused(
      410,
      route.method,
      `${api.prefix}${route.path.replace(/:\w+/g, of.server)}`,
      route.action ? { [route.action]: null } : {},
    )
}
