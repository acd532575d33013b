/**
 * An error that a user is told about: an HTTP status, a stable code of the service's own table and a message that says why and what to do.
 * The edge (kernel/http) turns it into the fault body of the service that answers; anything else becomes a 500 whose cause is only logged.
 */
export class Fault extends Error {
  readonly status: number
  readonly code: string
  /** What a program may want to know: which filter, which quota, which hosts. Shown to users, so never secrets. */
  readonly details: Record<string, unknown>
  readonly headers: Record<string, string>
  /** The whole answer, where clients go by more than the service's fault body. */
  readonly body: object | undefined

  constructor(
    status: number,
    code: string,
    message: string,
    options: { details?: Record<string, unknown>; headers?: Record<string, string>; body?: object; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = code
    this.status = status
    this.code = code
    this.details = options.details ?? {}
    this.headers = options.headers ?? {}
    this.body = options.body
  }

  /** Survives the bus and the saga log: see {@link revive}. */
  toJSON() {
    return { name: this.name, status: this.status, code: this.code, message: this.message, details: this.details }
  }
}

export const badRequest = (message: string, code = 'BadRequest', details?: Record<string, unknown>) =>
  new Fault(400, code, message, { details })
export const unauthorized = (message = 'The request you have made requires authentication.') => new Fault(401, 'Unauthorized', message)
export const forbidden = (message: string, code = 'Forbidden', details?: Record<string, unknown>) =>
  new Fault(403, code, message, { details })
export const notFound = (message: string, code = 'NotFound') => new Fault(404, code, message)
export const conflict = (message: string, code = 'Conflict', details?: Record<string, unknown>) =>
  new Fault(409, code, message, { details })
/** Something below us (libvirt, Open vSwitch, the disk, another service) does not do its part; the message names it and says what to check. */
export const unavailable = (message: string, code = 'ServiceUnavailable', cause?: unknown) => new Fault(503, code, message, { cause })

/** A JSON picture of any error, for the saga log, the bus and the logs. */
export function describe(error: unknown): {
  name: string
  status: number
  code: string
  message: string
  details: Record<string, unknown>
} {
  if (error instanceof Fault) return error.toJSON()
  if (error instanceof Error)
    return { name: error.name, status: 500, code: (error as NodeJS.ErrnoException).code ?? 'Internal', message: error.message, details: {} }
  return { name: 'Error', status: 500, code: 'Internal', message: String(error), details: {} }
}

/** The Fault that {@link describe} pictured. */
export function revive(picture: ReturnType<typeof describe>): Fault {
  return new Fault(picture.status ?? 500, picture.code ?? 'Internal', picture.message, { details: picture.details })
}
