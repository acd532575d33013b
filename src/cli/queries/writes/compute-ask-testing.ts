import type { Counts } from '../counting-testing.ts'

/** Asks compute, in its newest microversion unless another is named. */
export const computeAsk =
  (ask: Counts['ask']) =>
  (method: string, path: string, body?: unknown, at = 'latest', way?: string): Promise<any> =>
    ask(method, `/compute/v2.1${path}`, body, { 'openstack-api-version': `compute ${at}` }, way)
