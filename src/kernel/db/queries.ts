import { channel } from 'node:diagnostics_channel'

/** Every query as it runs, in the context of who asks, without what begins and ends a transaction: for tests that count them. */
export const queries = channel('yun.query')
