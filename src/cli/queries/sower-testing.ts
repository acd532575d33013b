import { eventually, type Yard } from '../../compute/sagas/testing.ts'
import type { Counts } from './counting-testing.ts'
import type { Sown } from './sown-testing.ts'
import { extendDirectory } from './writes/identity-testing.ts'
import { extendImage } from './writes/image-testing.ts'
import { extendProvider, PLACEMENT } from './writes/placement-testing.ts'

/** Makes what routes show, again and again, and takes it away; what that needs is counted. */
export class Sower {
  counts: Counts
  private readonly yard: Yard
  private outside = ''
  private mine = ''
  private admin = ''

  constructor(yard: Yard, counts: Counts) {
    this.yard = yard
    this.counts = counts
  }

  /** The network outside, with addresses for routers and servers, and a pool for projects that ask for any network. */
  async prepare(): Promise<void> {
    const { api } = this.yard.cloud
    const outside = { name: 'public', 'router:external': true, is_default: true }
    const { network } = await api('POST', '/network/v2.0/networks', {
      network: { ...outside, 'provider:network_type': 'flat', 'provider:physical_network': 'public' },
    })
    await api('POST', '/network/v2.0/subnetpools', {
      subnetpool: { name: 'default', prefixes: ['10.96.0.0/16'], default_prefixlen: 26, is_default: true, shared: true },
    })
    await api('POST', '/network/v2.0/subnets', {
      subnet: { network_id: network.id, ip_version: 4, cidr: '172.24.4.0/24', gateway_ip: '172.24.4.1', enable_dhcp: false },
    })
    this.outside = network.id
    const { projects } = await api('GET', '/identity/v3/auth/projects')
    this.mine = projects.find((one: { name: string }) => one.name === 'demo').id
    this.admin = (await api('GET', '/identity/v3/users?name=admin')).users[0].id
  }

  /** The project that everything is in, and who makes it. */
  get owners(): { project: string; user: string } {
    return { project: this.mine, user: this.admin }
  }

  async sow(): Promise<Sown> {
    const name = `seed-${Math.random().toString(36).slice(2, 10)}`
    const [networking, volumes, others] = [await this.networking(name), await this.volumes(name), await this.others(name)]
    const server = await this.server(volumes.volume)
    await this.yard.cloud.control.compute.context.engine.idle()
    return { ...networking, ...volumes, ...others, ...server }
  }

  /** More of what belongs to these: rules, subnets, roles, metadata, ports, ... */
  async extend(of: Sown): Promise<void> {
    const name = `more-${Math.random().toString(36).slice(2, 10)}`
    const ask = (method: string, path: string, body?: object) => this.ask(method, path, body)
    const port = 1000 + Math.floor(Math.random() * 60_000)
    const rule = { security_group_id: of.group, direction: 'ingress', protocol: 'tcp', port_range_min: port, port_range_max: port }
    await ask('POST', '/network/v2.0/security-group-rules', { security_group_rule: rule })
    await ask('PUT', `/network/v2.0/networks/${of.network}/tags/${name}`)
    await ask('POST', '/network/v2.0/ports', { port: { network_id: of.network, security_groups: [of.group] } })
    await ask('POST', `/volume/v3/volumes/${of.volume}/metadata`, { metadata: { [name]: name } })
    await ask('POST', `/volume/v3/types/${of.type}/extra_specs`, { extra_specs: { [name]: name } })
    await ask('POST', `/compute/v2.1/flavors/${of.flavor}/os-extra_specs`, { extra_specs: { [name]: name } })
    await ask('POST', `/compute/v2.1/servers/${of.server}/metadata`, { metadata: { [name]: name } })
    await ask('POST', `/compute/v2.1/servers/${of.server}/os-interface`, { interfaceAttachment: { net_id: this.yard.networkId } })
    await this.yard.settled()
    await extendDirectory(of, this.admin, this.counts.ask, name)
    await extendImage(of, this.counts.ask, name)
    await extendProvider(of, this.counts.ask, name)
  }

  /** Takes away what {@link sow} made. */
  async reap(of: Sown): Promise<void> {
    const gone = (path: string, headers?: Record<string, string>) => this.ask('DELETE', path, undefined, headers)
    await gone(`/compute/v2.1/servers/${of.server}/os-volume_attachments/${of.volume}`)
    await this.yard.settled()
    await gone(`/compute/v2.1/servers/${of.server}`)
    await this.yard.settled()
    await gone(`/volume/v3/snapshots/${of.snapshot}`)
    await gone(`/volume/v3/os-volume-transfer/${of.transfer}`)
    await eventually(
      async () => (await this.yard.cloud.api('GET', `/volume/v3/snapshots?volume_id=${of.volume}`)).snapshots.length,
      (left) => left === 0,
    )
    for (const id of [of.volume, of.offered]) await gone(`/volume/v3/volumes/${id}`)
    await gone(`/volume/v3/types/${of.type}`)
    await gone(`/volume/v3/qos-specs/${of.qos}`)
    await gone(`/network/v2.0/floatingips/${of.floatingip}`)
    const { ports } = await this.yard.cloud.api('GET', `/network/v2.0/ports?network_id=${of.network}&device_owner=`)
    for (const { id } of ports) await gone(`/network/v2.0/ports/${id}`)
    await this.ask('PUT', `/network/v2.0/routers/${of.router}/remove_router_interface`, { subnet_id: of.subnet })
    await gone(`/network/v2.0/routers/${of.router}`)
    await gone(`/network/v2.0/security-group-rules/${of.rule}`)
    await gone(`/network/v2.0/security-groups/${of.group}`)
    await gone(`/network/v2.0/subnets/${of.subnet}`)
    await gone(`/network/v2.0/networks/${of.network}`)
    await gone(`/network/v2.0/subnetpools/${of.subnetpool}`)
    await gone(`/network/v2.0/auto-allocated-topology/${of.project}`)
    await gone(`/image/v2/images/${of.image}`)
    await gone(`/image/v2/metadefs/namespaces/${of.namespace}`)
    await gone(`/compute/v2.1/flavors/${of.flavor}`)
    await gone(`/compute/v2.1/os-keypairs/${of.keypair}`)
    await gone(`/compute/v2.1/os-server-groups/${of.servers}`)
    await gone(`/compute/v2.1/os-aggregates/${of.aggregate}`)
    await gone(`/identity/v3/OS-TRUST/trusts/${of.trust}`)
    await gone(`/identity/v3/projects/${of.project}/users/${of.user}/roles/${of.role}`)
    for (const [collection, id] of [
      ['users', of.user],
      ['projects', of.project],
      ['roles', of.role],
      ['groups', of.people],
      ['endpoints', of.endpoint],
      ['services', of.service],
      ['regions', of.region],
    ])
      await gone(`/identity/v3/${collection}/${id}`)
    await this.ask('PATCH', `/identity/v3/domains/${of.domain}`, { domain: { enabled: false } })
    await gone(`/identity/v3/domains/${of.domain}`)
    await gone(`/placement/resource_providers/${of.provider}`, PLACEMENT)
    await gone(`/placement/traits/${of.trait}`, PLACEMENT)
  }

  private ask(...asked: Parameters<Counts['ask']>): Promise<any> {
    return this.counts.ask(...asked)
  }

  private async post(path: string, body: object): Promise<any> {
    return Object.values(await this.ask('POST', path, body))[0]
  }

  private async networking(name: string) {
    const network = await this.post('/network/v2.0/networks', { network: { name } })
    const subnet = await this.post('/network/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.8.0.0/24' } })
    const pool = await this.post('/network/v2.0/subnetpools', { subnetpool: { name, prefixes: ['10.64.0.0/16'] } })
    const group = await this.post('/network/v2.0/security-groups', { security_group: { name } })
    const rule = await this.post('/network/v2.0/security-group-rules', {
      security_group_rule: { security_group_id: group.id, direction: 'ingress', remote_group_id: group.id },
    })
    const router = await this.post('/network/v2.0/routers', { router: { name, external_gateway_info: { network_id: this.outside } } })
    await this.ask('PUT', `/network/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id })
    const port = await this.post('/network/v2.0/ports', { port: { network_id: network.id, security_groups: [group.id] } })
    await this.ask('PUT', `/network/v2.0/ports/${port.id}`, { port: { description: name } })
    const floating = await this.post('/network/v2.0/floatingips', {
      floatingip: { floating_network_id: this.outside, port_id: port.id },
    })
    return {
      network: network.id,
      subnet: subnet.id,
      subnetpool: pool.id,
      group: group.id,
      rule: rule.id,
      router: router.id,
      port: port.id,
      floatingip: floating.id,
    }
  }

  private async volumes(name: string) {
    const made = async (metadata: Record<string, string>) => {
      const volume = await this.post('/volume/v3/volumes', { volume: { size: 1, name, metadata } })
      await eventually(
        async () => (await this.yard.cloud.api('GET', `/volume/v3/volumes/${volume.id}`)).volume,
        (now) => now.status === 'available',
      )
      return volume.id as string
    }
    const [volume, offered] = [await made({ a: name }), await made({})]
    const snapshot = await this.post('/volume/v3/snapshots', { snapshot: { volume_id: volume, name, metadata: { a: name } } })
    const transfer = await this.post('/volume/v3/os-volume-transfer', { transfer: { volume_id: offered, name } })
    const qos = await this.post('/volume/v3/qos-specs', { qos_specs: { name, total_iops_sec: '100' } })
    const type = await this.post('/volume/v3/types', { volume_type: { name, extra_specs: { a: name } } })
    await this.ask('PUT', `/volume/v3/volumes/${volume}`, { volume: { description: name } })
    return { volume, offered, snapshot: snapshot.id, transfer: transfer.id, qos: qos.id, type: type.id }
  }

  private async server(volume: string) {
    const { yard } = this
    const { server } = await this.ask('POST', '/compute/v2.1/servers', {
      server: {
        name: 'one',
        imageRef: yard.imageId,
        flavorRef: yard.flavorId,
        networks: [{ uuid: yard.networkId }],
        metadata: { a: 'one' },
      },
    })
    await yard.settled()
    const attachment = await this.ask('POST', `/compute/v2.1/servers/${server.id}/os-volume_attachments`, {
      volumeAttachment: { volumeId: volume },
    })
    await yard.settled()
    for (const action of [{ 'os-stop': null }, { 'os-start': null }]) {
      await this.ask('POST', `/compute/v2.1/servers/${server.id}/action`, action)
      await yard.settled()
    }
    await this.ask('PUT', `/compute/v2.1/servers/${server.id}`, { server: { name: 'two' } })
    const rows = (await yard.cloud.api('GET', `/volume/v3/attachments?volume_id=${volume}`, undefined, volumes370)).attachments
    return { server: server.id, attachment: rows[0]?.id ?? attachment.volumeAttachment.id }
  }

  private async others(name: string) {
    const image = await this.ask('POST', '/image/v2/images', {
      name,
      disk_format: 'raw',
      container_format: 'bare',
      tags: [name],
      own: name,
      visibility: 'shared',
    })
    await this.ask('POST', `/image/v2/images/${image.id}/members`, { member: this.mine })
    await this.ask('POST', '/image/v2/metadefs/namespaces', {
      namespace: name,
      tags: [{ name }],
      properties: { a: { title: name, type: 'string' } },
    })
    const { flavor } = await this.ask('POST', '/compute/v2.1/flavors', { flavor: { name, ram: 64, vcpus: 1, disk: 1 } })
    await this.ask('POST', `/compute/v2.1/flavors/${flavor.id}/os-extra_specs`, { extra_specs: { a: name } })
    await this.post('/compute/v2.1/os-keypairs', { keypair: { name } })
    const servers = await this.post('/compute/v2.1/os-server-groups', { server_group: { name, policies: ['affinity'] } })
    const aggregate = await this.post('/compute/v2.1/os-aggregates', { aggregate: { name } })
    const user = await this.post('/identity/v3/users', { user: { name, domain_id: 'default' } })
    const project = await this.post('/identity/v3/projects', { project: { name, domain_id: 'default' } })
    const role = await this.post('/identity/v3/roles', { role: { name } })
    await this.ask('PUT', `/identity/v3/projects/${project.id}/users/${user.id}/roles/${role.id}`)
    const trust = {
      trustor_user_id: this.admin,
      trustee_user_id: user.id,
      project_id: this.mine,
      impersonation: true,
      roles: [{ name: 'member' }],
    }
    const lent = await this.post('/identity/v3/OS-TRUST/trusts', { trust })
    const people = await this.post('/identity/v3/groups', { group: { name, domain_id: 'default' } })
    const domain = await this.post('/identity/v3/domains', { domain: { name } })
    const region = await this.post('/identity/v3/regions', { region: { description: name } })
    const service = await this.post('/identity/v3/services', { service: { type: name, name } })
    const endpoint = await this.post('/identity/v3/endpoints', {
      endpoint: { service_id: service.id, interface: 'public', url: 'http://127.0.0.1' },
    })
    const credential = await this.post(`/identity/v3/users/${this.admin}/application_credentials`, {
      application_credential: { name },
    })
    const kept = await this.post('/identity/v3/credentials', { credential: { user_id: this.admin, type: 'totp', blob: name } })
    const key = await this.post(`/identity/v3/users/${this.admin}/credentials/OS-EC2`, { tenant_id: project.id })
    const policy = await this.post('/identity/v3/policies', { policy: { type: 'text', blob: name } })
    const provider = await this.ask('POST', '/placement/resource_providers', { name }, PLACEMENT)
    const trait = `CUSTOM_${name.replace('-', '_').toUpperCase()}`
    await this.ask('PUT', `/placement/traits/${trait}`, undefined, PLACEMENT)
    return {
      image: image.id,
      namespace: name,
      flavor: flavor.id,
      keypair: name,
      servers: servers.id,
      aggregate: String(aggregate.id),
      user: user.id,
      project: project.id,
      role: role.id,
      trust: lent.id,
      people: people.id,
      domain: domain.id,
      region: region.id,
      service: service.id,
      endpoint: endpoint.id,
      credential: credential.id,
      kept: kept.id,
      key: key.access,
      policy: policy.id,
      provider: provider.uuid,
      trait,
    }
  }
}

const volumes370 = { 'openstack-api-version': 'volume 3.70' }
