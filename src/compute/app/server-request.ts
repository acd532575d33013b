import type { Transaction } from 'kysely'
import { toJson } from '../../kernel/db/columns.ts'
import { notFound } from '../../kernel/errors/errors.ts'
import { findInstance, replaceJson } from '../db/instances.ts'
import type { ComputeTables, InstanceRow } from '../db/tables.ts'
import { requestOf, type ServerRequest } from './instance-spec.ts'

/** Changes what was asked for by what it is by then: a request and a saga of the same server may both do so in one moment. Answers the row as it was. @throws Fault 404 */
export async function changeRequest(
  trx: Transaction<ComputeTables>,
  id: string,
  change: (now: ServerRequest) => Partial<ServerRequest>,
  more: Partial<InstanceRow> = {},
): Promise<InstanceRow> {
  const seen = await findInstance(trx, id)
  if (!seen) throw notFound(`Instance ${id} could not be found.`, 'InstanceNotFound')
  const request = requestOf(seen)
  await replaceJson(trx, seen, 'request_json', toJson({ ...request, ...change(request) }), more)
  return seen
}
