import type { InstanceSpec } from '../../compute/rpc.ts'

/** openstack/latest/meta_data.json, as cloud-init and the tiny guest read it. */
export function openstackMetadata(instance: InstanceSpec) {
  const { keyPair } = instance
  return {
    uuid: instance.uuid,
    name: instance.displayName,
    hostname: instance.hostname,
    launch_index: instance.launchIndex,
    project_id: instance.projectId,
    availability_zone: instance.availabilityZone,
    meta: instance.metadata,
    devices: [],
    ...(instance.adminPass ? { admin_pass: instance.adminPass } : {}),
    ...(keyPair
      ? {
          public_keys: { [keyPair.name]: keyPair.publicKey },
          keys: [{ name: keyPair.name, type: keyPair.type, data: keyPair.publicKey }],
        }
      : {}),
    ...(instance.files.length > 0
      ? { files: instance.files.map(({ path }, index) => ({ path, content_path: `/${contentPath(index)}` })) }
      : {}),
  }
}

/** As Nova counts them. */
export const contentPath = (index: number) => `content/${String(index).padStart(4, '0')}`

/** ec2/latest/meta-data.json. */
export function ec2Metadata(instance: InstanceSpec, addresses: { fixed: string[]; floating: string[] }) {
  const { keyPair } = instance
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
    'local-ipv4': addresses.fixed.find((each) => !each.includes(':')) ?? null,
    placement: { 'availability-zone': instance.availabilityZone },
    'public-hostname': instance.hostname,
    'public-ipv4': addresses.floating[0] ?? '',
    ...(keyPair ? { 'public-keys': { '0': { _name: `0=${keyPair.name}`, 'openssh-key': keyPair.publicKey } } } : {}),
    'reservation-id': instance.reservationId,
    'security-groups': instance.securityGroups,
  }
}
