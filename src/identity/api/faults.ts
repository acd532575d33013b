import { STATUS_CODES } from 'node:http'
import type { Fault } from '../../kernel/errors/errors.ts'

/** Keystone's fault body. */
export const identityFault = (fault: Fault) => ({
  error: { code: fault.status, message: fault.message, title: STATUS_CODES[fault.status] ?? fault.code },
})
