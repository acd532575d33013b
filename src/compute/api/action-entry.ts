import type { TSchema } from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { InstanceRow } from '../app/rows.ts'

/** An action on a server: what is in the body of POST /servers/{id}/action, and what it does. */
export interface Action {
  doc: string
  policy: string
  body?: TSchema
  microversions?: { min?: string; max?: string }
  /** Most answer nothing. */
  response?: Route['response']
  /** Default 202. */
  status?: number
  run: (row: InstanceRow, request: ApiRequest) => Promise<unknown>
}
