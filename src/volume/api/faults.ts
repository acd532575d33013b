import type { Fault } from '../../kernel/errors/errors.ts'

const NAMES: Record<number, string> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  409: 'conflictingRequest',
  413: 'overLimit',
  415: 'badMediaType',
  429: 'overLimit',
  501: 'notImplemented',
  503: 'serviceUnavailable',
}

export const volumeFault = (fault: Fault) => ({
  [NAMES[fault.status] ?? 'computeFault']: { code: fault.status, message: fault.message },
})
