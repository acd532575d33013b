import { randomBytes } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import type { InstanceSpec, Vif } from './rpc.ts'

/** What a guest is told about itself, by the metadata service and on the config drive alike: path → content. Third door of this service, beside rpc.ts and client.ts. */
export type GuestFiles = Map<string, string | Buffer>

const OPENSTACK_VERSIONS = [
  '2012-08-10',
  '2013-04-04',
  '2013-10-17',
  '2015-10-15',
  '2016-06-30',
  '2016-10-06',
  '2017-02-22',
  '2018-08-27',
  'latest',
]
const EC2_VERSIONS = ['1.0', '2007-01-19', '2009-04-04', 'latest']

/** All that the metadata service answers: OpenStack's documents, Amazon's tree of texts. */
export function guestFiles(instance: InstanceSpec, vifs: Vif[]): GuestFiles {
  const files = openstackFiles(instance, vifs, OPENSTACK_VERSIONS)
  const tree = texts(ec2Metadata(instance, vifs))
  const userData = userDataOf(instance)
  for (const version of EC2_VERSIONS) {
    for (const [path, content] of tree) files.set(`ec2/${version}/meta-data/${path}`, content)
    if (userData) files.set(`ec2/${version}/user-data`, userData)
  }
  return files
}

/** What stands on the config drive: the newest documents, Amazon's metadata as one. */
export function driveFiles(instance: InstanceSpec, vifs: Vif[]): GuestFiles {
  const files = openstackFiles(instance, vifs, ['2018-08-27', 'latest'])
  const userData = userDataOf(instance)
  files.set('ec2/latest/meta-data.json', json(ec2Metadata(instance, vifs)))
  if (userData) files.set('ec2/latest/user-data', userData)
  return files
}

const json = (value: unknown) => JSON.stringify(value, null, 2)
const userDataOf = ({ userData }: InstanceSpec) => (userData ? Buffer.from(userData, 'base64') : null)
/** As Nova counts them. */
const contentPath = (index: number) => `content/${String(index).padStart(4, '0')}`

function openstackFiles(instance: InstanceSpec, vifs: Vif[], versions: string[]): GuestFiles {
  const userData = userDataOf(instance)
  const documents: [name: string, content: string | Buffer][] = [
    ['meta_data.json', json(metaData(instance))],
    ['network_data.json', json(networkData(vifs))],
    ['vendor_data.json', '{}'],
    ['vendor_data2.json', '{}'],
    ...(userData ? [['user_data', userData] as [string, Buffer]] : []),
  ]
  const contents = instance.files.map((file, i): [string, Buffer] => [`openstack/${contentPath(i)}`, Buffer.from(file.contents, 'base64')])
  return new Map([
    ...versions.flatMap((version) =>
      documents.map(([name, content]): [string, string | Buffer] => [`openstack/${version}/${name}`, content]),
    ),
    ...contents,
  ])
}

/** meta_data.json, as cloud-init and the tiny guest read it. */
function metaData(instance: InstanceSpec) {
  const { keyPair } = instance
  return {
    uuid: instance.uuid,
    hostname: instance.hostname,
    name: instance.displayName,
    launch_index: instance.launchIndex,
    availability_zone: instance.availabilityZone,
    project_id: instance.projectId,
    meta: instance.metadata,
    random_seed: randomBytes(512).toString('base64'),
    devices: [],
    dedicated_cpus: [],
    ...(instance.adminPass ? { admin_pass: instance.adminPass } : {}),
    ...(keyPair
      ? { public_keys: { [keyPair.name]: keyPair.publicKey }, keys: [{ name: keyPair.name, type: keyPair.type, data: keyPair.publicKey }] }
      : {}),
    ...(instance.files.length > 0
      ? { files: instance.files.map(({ path }, index) => ({ content_path: `/${contentPath(index)}`, path })) }
      : {}),
  }
}

/** network_data.json: links, networks and name servers as cloud-init reads them. */
function networkData(vifs: Vif[]) {
  const links = vifs.map((vif) => ({
    id: vif.deviceName,
    vif_id: vif.portId,
    type: vif.details.ovsHybridPlug ? 'bridge' : 'ovs',
    mtu: vif.network.mtu,
    ethernet_mac_address: vif.macAddress,
  }))
  const networks = vifs.flatMap((vif) =>
    vif.subnets.flatMap((subnet) => subnet.addresses.map((address) => networkOf(vif, subnet, address))),
  )
  const servers = new Set(vifs.flatMap((vif) => vif.subnets.flatMap((subnet) => subnet.dns)))
  return {
    links,
    networks: networks.map((network, index) => ({ id: `network${index}`, ...network })),
    services: [...servers].map(nameServer),
  }
}

const nameServer = (address: string) => ({ type: 'dns', address })

function networkOf(vif: Vif, subnet: Vif['subnets'][number], address: string) {
  const six = subnet.ipVersion === 6
  const base = { link: vif.deviceName, network_id: vif.network.id }
  if (subnet.dhcp) return { ...base, type: six ? 'ipv6_dhcp' : 'ipv4_dhcp' }
  const any = six ? '::' : '0.0.0.0'
  const routes = subnet.routes.map(({ destination, nexthop }) => ({
    network: destination.split('/')[0]!,
    netmask: maskOf(destination),
    gateway: nexthop,
  }))
  return {
    ...base,
    type: six ? 'ipv6' : 'ipv4',
    ip_address: address,
    netmask: maskOf(subnet.cidr),
    routes: [...(subnet.gateway ? [{ network: any, netmask: any, gateway: subnet.gateway }] : []), ...routes],
    services: subnet.dns.map(nameServer),
  }
}

function maskOf(cidr: string): string {
  const [address, prefix] = cidr.split('/')
  const family = address!.includes(':') ? ipaddr.IPv6 : ipaddr.IPv4
  return family.subnetMaskFromPrefixLength(Number(prefix)).toString()
}

/** Amazon's words for it, which the oldest guests read: ec2/latest/meta-data.json. */
function ec2Metadata(instance: InstanceSpec, vifs: Vif[]) {
  const { keyPair } = instance
  const fixed = vifs.flatMap((vif) => vif.subnets.flatMap((subnet) => subnet.addresses))
  const floating = vifs.flatMap((vif) => Object.values(vif.floatingIps ?? {}).flat())
  return {
    'ami-id': instance.image ? `ami-${instance.image.id.slice(0, 8)}` : 'None',
    'ami-launch-index': instance.launchIndex,
    'ami-manifest-path': 'None',
    'block-device-mapping': { ami: 'vda', root: '/dev/vda' },
    hostname: instance.hostname,
    'instance-action': 'none',
    'instance-id': `i-${instance.number.toString(16).padStart(8, '0')}`,
    'instance-type': instance.flavor.name,
    'local-hostname': instance.hostname,
    'local-ipv4': fixed.find((each) => !each.includes(':')) ?? null,
    placement: { 'availability-zone': instance.availabilityZone },
    'public-hostname': instance.hostname,
    'public-ipv4': floating[0] ?? '',
    ...(keyPair ? { 'public-keys': { '0': { _name: `0=${keyPair.name}`, 'openssh-key': keyPair.publicKey } } } : {}),
    'reservation-id': instance.reservationId,
    'security-groups': instance.securityGroups,
  }
}

/** The same as a tree of texts. A directory whose entries have names of their own (`0=mykey`) lists those. */
function texts(value: object): [path: string, content: string][] {
  return Object.entries(value).flatMap(([name, content]): [string, string][] => {
    if (Array.isArray(content)) return [[name, content.join('\n')]]
    if (content === null || typeof content !== 'object') return [[name, String(content ?? '')]]
    const names = Object.values(content).flatMap((each) => (each as { _name?: string })?._name ?? [])
    const below = texts(content)
      .filter(([path]) => !path.endsWith('_name'))
      .map(([path, text]): [string, string] => [`${name}/${path}`, text])
    return names.length > 0 ? [[`${name}/`, names.join('\n')], ...below] : below
  })
}
