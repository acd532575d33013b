import { STATUS_CODES } from 'node:http'
import type { Fault } from '../../kernel/errors/errors.ts'

/** Keystone's fault body; of one that may be mended by showing more, its receipt. */
export const identityFault = (fault: Fault) =>
  fault.code === 'InsufficientAuthMethods'
    ? fault.details
    : { error: { code: fault.status, message: fault.message, title: STATUS_CODES[fault.status] ?? fault.code } }
