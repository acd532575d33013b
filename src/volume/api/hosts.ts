import Type from 'typebox'
import type { Route } from '../../kernel/http/route.ts'
import { backends, serviceHost } from '../app/backend.ts'
import type { VolumeContext } from '../app/context.ts'
import { hostShares } from '../app/host.ts'
import { time } from './views.ts'

const closed = { additionalProperties: false }
const HostList = Type.Object(
  {
    hosts: Type.Array(
      Type.Object(
        {
          host_name: Type.String(),
          service: Type.String(),
          zone: Type.String(),
          'service-status': Type.String(),
          'service-state': Type.String(),
          'last-update': Type.String(),
        },
        closed,
      ),
    ),
  },
  closed,
)
const Share = Type.Object(
  {
    host: Type.String(),
    project: Type.String(),
    volume_count: Type.String(),
    total_volume_gb: Type.String(),
    snapshot_count: Type.String(),
    total_snapshot_gb: Type.String(),
  },
  closed,
)

/** The hosts of volumes as operators look at them. */
export function hostRoutes(context: VolumeContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/os-hosts',
      doc: 'List the hosts that have volumes',
      policy: 'volume_extension:hosts',
      response: HostList,
      async handler() {
        return {
          hosts: (await backends(context)).map((one) => ({
            host_name: serviceHost(one.state.name),
            service: 'cinder-volume',
            zone: one.state.availabilityZone,
            'service-status': one.up ? 'available' : 'unavailable',
            'service-state': one.disabled ? 'disabled' : 'enabled',
            'last-update': time(one.reportedAt),
          })),
        }
      },
    },
    {
      method: 'GET',
      path: '/os-hosts/:host',
      doc: 'Count what lies on a host, for each project',
      policy: 'volume_extension:hosts',
      response: Type.Object({ host: Type.Array(Type.Object({ resource: Share }, closed)) }, closed),
      async handler(request) {
        const host = request.params.host!
        const known = (await backends(context)).map((one) => serviceHost(one.state.name))
        const shares = await hostShares(context, host, known)
        return {
          host: shares.map((share) => ({
            resource: {
              host,
              project: share.project,
              volume_count: String(share.volumes),
              total_volume_gb: String(share.volumesGiB),
              snapshot_count: String(share.snapshots),
              total_snapshot_gb: String(share.snapshotsGiB),
            },
          })),
        }
      },
    },
  ]
}
