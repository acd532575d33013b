import { randomBytes } from 'node:crypto'
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

export interface MetadataOptions {
  /** The newest only, as a config drive has it beside one dated version. */
  newestOnly?: boolean
}

export function guestFiles(instance: InstanceSpec, vifs: Vif[], { newestOnly = false }: MetadataOptions = {}): GuestFiles {
  const files: GuestFiles = new Map()
  const userData = instance.userData ? Buffer.from(instance.userData, 'base64') : null
  const metadata = JSON.stringify(metaData(instance))
  const network = JSON.stringify(networkData(vifs))
  for (const version of newestOnly ? ['2018-08-27', 'latest'] : OPENSTACK_VERSIONS) {
    files.set(`openstack/${version}/meta_data.json`, metadata)
    files.set(`openstack/${version}/network_data.json`, network)
    files.set(`openstack/${version}/vendor_data.json`, '{}')
    files.set(`openstack/${version}/vendor_data2.json`, '{}')
    if (userData) files.set(`openstack/${version}/user_data`, userData)
  }
  for (const [i, file] of instance.files.entries())
    files.set(`openstack/content/${String(i).padStart(4, '0')}`, Buffer.from(file.contents, 'base64'))
  for (const version of newestOnly ? ['2009-04-04', 'latest'] : EC2_VERSIONS) {
    for (const [path, content] of ec2(instance, vifs)) files.set(`ec2/${version}/meta-data/${path}`, content)
    if (userData) files.set(`ec2/${version}/user-data`, userData)
  }
  return files
}

/** One JSON document, for config drives of clients that read it whole. */
export const ec2Document = (instance: InstanceSpec, vifs: Vif[]): string => JSON.stringify(Object.fromEntries(ec2(instance, vifs)))

export function metaData(instance: InstanceSpec) {
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
      ? { files: instance.files.map((file, i) => ({ content_path: `/content/${String(i).padStart(4, '0')}`, path: file.path })) }
      : {}),
  }
}

export function networkData(vifs: Vif[]) {
  return {
    links: vifs.map((vif) => ({
      id: vif.deviceName,
      vif_id: vif.portId,
      type: 'bridge',
      mtu: vif.network.mtu,
      ethernet_mac_address: vif.macAddress,
    })),
    networks: vifs.flatMap((vif, i) =>
      vif.subnets.map((subnet, j) => ({
        id: `network${i}${j > 0 ? `-${j}` : ''}`,
        type: subnet.dhcp ? `ipv${subnet.ipVersion}_dhcp` : `ipv${subnet.ipVersion}`,
        link: vif.deviceName,
        network_id: vif.network.id,
        ...(subnet.dhcp ? {} : { ip_address: subnet.addresses[0], netmask: netmaskOf(subnet.cidr), routes: routesOf(subnet) }),
      })),
    ),
    services: [...new Set(vifs.flatMap((vif) => vif.subnets.flatMap((subnet) => subnet.dns)))].map((address) => ({ type: 'dns', address })),
  }
}

const routesOf = (subnet: Vif['subnets'][number]) => [
  ...(subnet.gateway ? [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway: subnet.gateway }] : []),
  ...subnet.routes.map(({ destination, nexthop }) => ({
    network: destination.split('/')[0],
    netmask: netmaskOf(destination),
    gateway: nexthop,
  })),
]

function netmaskOf(cidr: string): string {
  const bits = Number(cidr.split('/')[1])
  if (cidr.includes(':')) return String(bits)
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join('.')
}

/** Amazon's tree of texts, which the oldest guests read. */
function ec2(instance: InstanceSpec, vifs: Vif[]): [path: string, content: string][] {
  const address = vifs.flatMap((vif) => vif.subnets.flatMap((subnet) => subnet.addresses))[0] ?? ''
  const floating = vifs.flatMap((vif) => Object.values(vif.floatingIps ?? {}).flat())[0] ?? ''
  const { keyPair } = instance
  return [
    ['ami-id', `ami-${instance.number.toString(16).padStart(8, '0')}`],
    ['ami-launch-index', String(instance.launchIndex)],
    ['ami-manifest-path', ''],
    ['hostname', instance.hostname],
    ['local-hostname', instance.hostname],
    ['public-hostname', instance.hostname],
    ['instance-id', `i-${instance.number.toString(16).padStart(8, '0')}`],
    ['instance-type', instance.flavor.name],
    ['local-ipv4', address],
    ['public-ipv4', floating],
    ['placement/availability-zone', instance.availabilityZone],
    ['reservation-id', instance.reservationId],
    ['security-groups', instance.securityGroups.join('\n')],
    ['instance-action', 'none'],
    ['block-device-mapping/ami', 'vda'],
    ['block-device-mapping/root', '/dev/vda'],
    ...(keyPair
      ? ([
          ['public-keys/', `0=${keyPair.name}`],
          ['public-keys/0/openssh-key', `${keyPair.publicKey}\n`],
        ] as [string, string][])
      : []),
  ]
}
