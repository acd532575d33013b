import { after, before } from 'node:test'
import type { Passage } from '../../kernel/http/api.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { SagaEngine } from '../../kernel/saga/engine.ts'
import { type SagaWorld, sagaTests } from '../../kernel/saga/testing.ts'
import { acceptServers } from '../app/accept.ts'
import { createServer } from './create-server.ts'
import { deleteServer } from './delete-server.ts'
import { worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open()
})
after(() => yard.cloud.stop())

/** A request that is accepted as at the API, by the engine under test. */
async function world(): Promise<SagaWorld> {
  const { cloud, context } = yard
  const { token } = await cloud.api('GET', '/identity/v3/auth/tokens', undefined, { 'x-subject-token': cloud.token })
  const request = {
    requestId: `req-${crypto.randomUUID()}`,
    token: cloud.token,
    userId: token.user.id,
    projectId: token.project.id,
    roles: ['admin'],
    isAdmin: true,
    auditIds: token.audit_ids,
  } as unknown as RequestContext
  const passage: Passage = { arrived: 0, rate: { at: 0, ms: 0, decision: null }, token: null, policy: { at: 0, ms: 0, decision: null } }
  const wanted = {
    name: 'one',
    description: null,
    hostname: null,
    imageRef: yard.imageId,
    flavorRef: yard.flavorId,
    networks: [{ uuid: yard.networkId, port: null, fixedIp: null, tag: null }],
    securityGroups: [],
    keyName: null,
    userData: null,
    metadata: {},
    tags: [],
    files: [{ path: '/etc/motd', contents: 'aGVsbG8=' }],
    configDrive: true,
    autoDiskConfig: null,
    zone: null,
    host: null,
    node: null,
    hints: {},
    minCount: 1,
    maxCount: 1,
    blockDevices: [
      {
        sourceType: 'blank' as const,
        destinationType: 'volume' as const,
        uuid: null,
        bootIndex: null,
        sizeGiB: 1,
        deviceName: null,
        deleteOnTermination: true,
        tag: null,
        volumeType: null,
      },
      {
        sourceType: 'image' as const,
        destinationType: 'local' as const,
        uuid: yard.imageId,
        bootIndex: 0,
        sizeGiB: null,
        deviceName: null,
        deleteOnTermination: true,
        tag: null,
        volumeType: null,
      },
    ],
    accessIPv4: null,
    accessIPv6: null,
    adminPass: null,
    trustedCertificates: null,
    unboundDisk: false,
  }
  let id = ''
  const status = async () => (await cloud.api('GET', `/compute/v2.1/servers/${id}`)).server
  const wrong = async (state: string) => {
    const server = await status()
    return [...(server.status === state ? [] : [`the server is ${server.status}: ${server.fault?.message}`]), ...(await yard.leaks())]
  }
  return {
    database: context.database,
    context,
    async submit(engine: SagaEngine<any>) {
      const { servers } = await acceptServers({ ...context, engine }, request, passage, wanted)
      id = servers[0]!.id
      const row = await context.database.db.selectFrom('sagas').select('id').where('subject', '=', `server:${id}`).executeTakeFirstOrThrow()
      return row.id
    },
    async leftovers() {
      const server = await status()
      const held = await context.placement.allocations(id)
      const ports = await context.networks.ports({ device_id: id })
      const { volumes } = await cloud.api('GET', '/volume/v3/volumes')
      return [
        ...(await wrong('ERROR')),
        ...(Object.keys(held.allocations).length > 0 ? ['allocations in placement'] : []),
        ...ports.map((port: { id: string }) => `port ${port.id}`),
        ...volumes.map((volume: { id: string; status: string }) => `volume ${volume.id} ${volume.status}`),
        ...(server['OS-EXT-SRV-ATTR:host'] ? ['a host'] : []),
      ]
    },
    arrived: () => wrong('ACTIVE'),
    close: () => yard.remove(id),
  }
}

sagaTests({ saga: createServer, service: 'compute', world })
sagaTests({
  saga: deleteServer,
  service: 'compute',
  world: worldOf(() => yard, { kind: 'delete-server', input: () => ({}), status: 'gone', failed: ['ERROR', 'gone'] }),
})
