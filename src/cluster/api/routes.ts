import Type from 'typebox'
import type { Route } from '../../kernel/http/route.ts'
import type { ClusterContext } from '../app/context.ts'
import { createJoinToken, expel, join } from '../app/join.ts'
import { listMembers } from '../app/members.ts'
import { HOST_ROLES } from '../client.ts'

const closed = { additionalProperties: false }
const Node = Type.Object({ name: Type.String(), state: Type.String() }, closed)
const Process = Type.Object(
  {
    id: Type.String(),
    role: Type.String(),
    host: Type.String(),
    pid: Type.Integer(),
    version: Type.String(),
    started_at: Type.String(),
    last_seen_at: Type.String(),
    alive: Type.Boolean(),
  },
  closed,
)
const Queue = Type.Object({ topic: Type.String(), waiting: Type.Integer(), receivers: Type.Integer() }, closed)

/** Yun's own API for those who run several machines. */
export function clusterRoutes(context: ClusterContext): Route[] {
  return [
    {
      method: 'POST',
      path: '/join-tokens',
      doc: 'Make a token with which one host may join, within an hour',
      policy: 'cluster:join-tokens:create',
      status: 201,
      response: Type.Object({ token: Type.String(), expires_at: Type.String() }, closed),
      handler: () => createJoinToken(context),
    },
    {
      method: 'POST',
      path: '/join',
      doc: 'Join this cloud as a host',
      policy: { open: 'the join token is the proof' },
      status: 201,
      body: Type.Object(
        {
          token: Type.String({ minLength: 1, maxLength: 255 }),
          host: Type.String({ minLength: 1, maxLength: 63 }),
          roles: Type.Array(Type.Union(HOST_ROLES.map((role) => Type.Literal(role))), { minItems: 1, uniqueItems: true }),
        },
        closed,
      ),
      response: Type.Object(
        {
          host: Type.String(),
          secret: Type.String(),
          region: Type.String(),
          metadataSecret: Type.String(),
          servicePassword: Type.String(),
          brokers: Type.Array(Type.String()),
        },
        closed,
      ),
      handler: (request) => join(context, request.body),
    },
    {
      method: 'GET',
      path: '/members',
      doc: 'The hosts that have joined',
      policy: 'cluster:members:list',
      response: Type.Object(
        { members: Type.Array(Type.Object({ host: Type.String(), roles: Type.Array(Type.String()), joined_at: Type.String() }, closed)) },
        closed,
      ),
      handler: async () => ({ members: await listMembers(context) }),
    },
    {
      method: 'DELETE',
      path: '/members/:host',
      doc: 'Let a host that has joined no longer on the bus',
      policy: 'cluster:members:delete',
      status: 204,
      response: 'nothing',
      handler: (request) => expel(context, request.params.host!),
    },
    {
      method: 'GET',
      path: '/processes',
      doc: 'Every process of this cloud, what waits in the queues, and the nodes of database and broker',
      policy: 'cluster:processes:list',
      response: Type.Object(
        {
          processes: Type.Array(Process),
          bus: Type.Object({ kind: Type.String(), nodes: Type.Array(Node), queues: Type.Array(Queue) }, closed),
          database: Type.Array(Type.Object({ node: Type.String(), state: Type.String(), size: Type.Integer() }, closed)),
        },
        closed,
      ),
      async handler() {
        const [bus, database] = await Promise.all([context.bus.stats(), context.database.nodes()])
        const processes = context.processes.list().map(({ startedAt, lastSeenAt, ...one }) => ({
          ...one,
          started_at: startedAt,
          last_seen_at: lastSeenAt,
        }))
        return { processes, bus, database }
      },
    },
  ]
}
