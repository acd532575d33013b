import Type from 'typebox'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { StepRecord } from '../../kernel/trace/trace.ts'
import { actionsOf } from '../app/action.ts'
import type { ComputeContext } from '../app/context.ts'
import { vifsOf } from '../app/instance-spec.ts'
import type { ActionRow, InstanceRow } from '../app/rows.ts'
import { timeOf } from '../app/time.ts'
import { InstanceAction, InstanceActionWithEvents, Link, Shown } from './answers.ts'
import { micro, nextLink, server, wholeNumber } from './common.ts'
import { hostIdOf } from './server-view.ts'

/** What was done to a server, and the steps in which it was done: the trace's rows under their standard name. */
export function instanceActionRoutes(context: ComputeContext): Route[] {
  /** Since 2.21 what was done to a server outlives it. */
  const one = (request: ApiRequest) => server(context, request, { deleted: request.version.atLeast('2.21') })
  const target = async (request: ApiRequest) => {
    const row = await one(request)
    return { project_id: row.project_id, user_id: row.user_id, server_id: row.id }
  }
  return [
    {
      method: 'GET',
      path: '/servers/:server_id/os-instance-actions',
      doc: 'List what was done to a server',
      policy: 'os_compute_api:os-instance-actions:list',
      target,
      query: queryOf('limit', 'marker', 'changes-since', 'changes-before'),
      response: Type.Object({ instanceActions: Type.Array(InstanceAction), links: Type.Optional(Type.Array(Link)) }),
      async handler(request) {
        const { id } = await one(request)
        const { shown, more } = page(request, await actionsOf(context, id))
        const next = nextLink(request, `/servers/${id}/os-instance-actions`, more, shown.at(-1)?.request_id)
        return { instanceActions: shown.map((row) => view(request, row)), ...(next ? { links: next } : {}) }
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/os-instance-actions/:request_id',
      doc: 'Show one action with its steps',
      policy: 'os_compute_api:os-instance-actions:show',
      target,
      response: Shown('instanceAction', InstanceActionWithEvents),
      async handler(request) {
        const row = await one(request)
        const action = (await actionsOf(context, row.id)).find((each) => each.request_id === request.params.request_id)
        if (!action) throw notFound(`Action for request_id ${request.params.request_id} on instance ${row.id} not found`)
        const steps = await context.trace.of([`server:${row.id}`, ...vifsOf(row).map((vif) => `port:${vif.portId}`)])
        const details = request.allowed('os_compute_api:os-instance-actions:events:details')
        const events = steps
          .filter((step) => step.requestId === action.request_id && step.saga)
          .map((step) => eventView(request, action.action, step, row, details))
        return { instanceAction: { ...view(request, action), events } }
      },
    },
  ]
}

/** Since 2.58 in pages and by time, since 2.66 up to a time. @throws Fault 400 */
function page(request: ApiRequest, all: ActionRow[]): { shown: ActionRow[]; more: boolean } {
  const { version, query } = request
  if (!version.atLeast('2.58')) return { shown: all, more: false }
  const since = query['changes-since'] ? timeOf('changes-since', query['changes-since']) : null
  const before = version.atLeast('2.66') && query['changes-before'] ? timeOf('changes-before', query['changes-before']) : null
  const rows = all.filter((row) => (!since || row.updated_at >= since) && (!before || row.updated_at <= before))
  const from = query.marker ? rows.findIndex((row) => row.request_id === query.marker) + 1 : 0
  if (query.marker && from === 0) throw badRequest(`Marker ${query.marker} could not be found.`, 'MarkerNotFound')
  const shown = rows.slice(from, from + (wholeNumber('limit', query.limit) ?? 1000))
  return { shown, more: from + shown.length < rows.length }
}

const view = (request: ApiRequest, row: ActionRow) => ({
  action: row.action,
  instance_uuid: row.server_id,
  request_id: row.request_id,
  user_id: row.user_id,
  project_id: row.project_id,
  start_time: micro(row.start_time),
  message: row.message,
  ...(request.version.atLeast('2.58') ? { updated_at: micro(row.updated_at) } : {}),
})

/** The last steps for which clients wait, under the names by which they do. */
const AWAITED: Record<string, string> = {
  'detach_interface release': 'compute_detach_interface',
  'extend_volume extend-disk': 'compute_extend_volume',
}

const eventName = (action: string, { step, name }: StepRecord) =>
  AWAITED[`${action} ${name}`] ?? (step > 0 ? `${String(step).padStart(2, '0')}_${name}` : name)

const eventView = (request: ApiRequest, action: string, step: StepRecord, { host, project_id }: InstanceRow, details: boolean) => ({
  event: eventName(action, step),
  start_time: micro(new Date(step.startedAt).toISOString()),
  finish_time: micro(new Date(step.startedAt + step.ms).toISOString()),
  result: step.outcome === 'done' ? 'Success' : step.outcome === 'undone' ? 'Undone' : 'Error',
  ...(details ? { traceback: step.outcome === 'failed' ? step.evidence.text : null } : {}),
  ...(request.version.atLeast('2.62') ? { hostId: hostIdOf(project_id, host), ...(request.context.isAdmin ? { host } : {}) } : {}),
  ...(request.version.atLeast('2.84') ? { details: step.evidence.text || null } : {}),
})
