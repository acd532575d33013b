import type { Fault } from '../../kernel/errors/errors.ts'

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  413: 'Request Entity Too Large',
  415: 'Unsupported Media Type',
  416: 'Requested Range Not Satisfiable',
  503: 'Service Unavailable',
}

/**
 * Glance itself answers a page of HTML, or webob's flat JSON whose words the clients lose. This nested form is what both of its clients (the SDK and
 * glanceclient) look into for a message.
 */
export const imageFault = (fault: Fault) => ({
  error: { code: fault.status, title: TITLES[fault.status] ?? 'Internal Server Error', message: fault.message },
})
