import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { StepRecord } from '../../kernel/trace/trace.ts'
import { actionsOf } from '../app/action.ts'
import type { ComputeContext } from '../app/context.ts'
import { vifsOf } from '../app/instance-spec.ts'
import type { ActionRow } from '../app/rows.ts'
import { InstanceAction, InstanceActionWithEvents, Shown } from './answers.ts'
import { micro, server } from './common.ts'

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
      response: Shown('instanceActions', Type.Array(InstanceAction)),
      async handler(request) {
        const rows = await actionsOf(context, (await one(request)).id)
        return { instanceActions: rows.map((row) => view(request, row)) }
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
          .map((step) => eventView(request, step, row.host, details))
        return { instanceAction: { ...view(request, action), events } }
      },
    },
  ]
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

const eventView = (request: ApiRequest, step: StepRecord, host: string | null, details: boolean) => ({
  event: step.step > 0 ? `${String(step.step).padStart(2, '0')}_${step.name}` : step.name,
  start_time: micro(new Date(step.startedAt).toISOString()),
  finish_time: micro(new Date(step.startedAt + step.ms).toISOString()),
  result: step.outcome === 'done' ? 'Success' : step.outcome === 'undone' ? 'Undone' : 'Error',
  ...(details ? { traceback: step.outcome === 'failed' ? step.evidence.text : null } : {}),
  ...(request.version.atLeast('2.62') ? { hostId: '', ...(request.context.isAdmin ? { host } : {}) } : {}),
  ...(request.version.atLeast('2.84') ? { details: step.evidence.text || null } : {}),
})
