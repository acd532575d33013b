import type { Fault } from '../../kernel/errors/errors.ts'

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  413: 'Request Entity Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

export const placementFault = (fault: Fault, requestId: string) => ({
  errors: [
    {
      status: fault.status,
      title: TITLES[fault.status] ?? 'Error',
      detail: fault.message,
      request_id: requestId,
      code: fault.code.startsWith('placement.') ? fault.code : 'placement.undefined_code',
      ...(fault.status === 406 ? fault.details : {}),
    },
  ],
})
