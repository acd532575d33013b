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

/** `{"itemNotFound": {"code": 404, "message": …}}`; a 406 says which versions there are. */
export function computeFault(fault: Fault) {
  const { min_version, max_version } = fault.details
  const retry = fault.headers['Retry-After']
  return {
    [NAMES[fault.status] ?? (fault.status === 406 ? 'computeFault' : 'computeFault')]: {
      code: fault.status,
      message: fault.message,
      ...(min_version && max_version ? { min_version, max_version } : {}),
      ...(retry ? { retryAfter: retry } : {}),
    },
  }
}
