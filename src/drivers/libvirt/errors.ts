import { badRequest, conflict, Fault, notFound, unavailable } from '../../kernel/errors/errors.ts'

/** libvirt's error numbers (virterror.h) that mean something to a caller. */
export const libvirtError = {
  internal: 1,
  noSupport: 3,
  invalidArgument: 8,
  operationFailed: 9,
  xml: 27,
  xmlDetail: 35,
  domainExists: 28,
  operationDenied: 29,
  noDomain: 42,
  operationInvalid: 55,
  noSecret: 66,
  configUnsupported: 67,
  operationTimeout: 68,
  argumentUnsupported: 74,
  operationAborted: 78,
  operationUnsupported: 84,
  agentUnresponsive: 86,
  resourceBusy: 87,
  accessDenied: 88,
  deviceMissing: 99,
  agentUnsynced: 97,
} as const

const words: Record<number, (message: string) => Fault> = {
  [libvirtError.noDomain]: (message) => notFound(message, 'NoDomain'),
  [libvirtError.noSecret]: (message) => notFound(message, 'NoSecret'),
  [libvirtError.deviceMissing]: (message) => notFound(message, 'NoDevice'),
  [libvirtError.domainExists]: (message) => conflict(message, 'DomainExists'),
  [libvirtError.operationInvalid]: (message) => conflict(message, 'DomainState'),
  [libvirtError.resourceBusy]: (message) => conflict(message, 'DomainBusy'),
  [libvirtError.operationAborted]: (message) => conflict(message, 'OperationAborted'),
  [libvirtError.agentUnresponsive]: (message) => conflict(message, 'AgentUnresponsive'),
  [libvirtError.agentUnsynced]: (message) => conflict(message, 'AgentUnresponsive'),
  [libvirtError.operationTimeout]: (message) => unavailable(message, 'DomainBusy'),
  [libvirtError.xml]: (message) => badRequest(message, 'DomainXml'),
  [libvirtError.xmlDetail]: (message) => badRequest(message, 'DomainXml'),
  [libvirtError.invalidArgument]: (message) => badRequest(message, 'InvalidArgument'),
  [libvirtError.configUnsupported]: (message) => badRequest(message, 'Unsupported'),
  [libvirtError.argumentUnsupported]: (message) => badRequest(message, 'Unsupported'),
  [libvirtError.operationUnsupported]: (message) => badRequest(message, 'Unsupported'),
  [libvirtError.noSupport]: (message) => badRequest(message, 'Unsupported'),
  [libvirtError.operationDenied]: (message) => new Fault(403, 'LibvirtDenied', message),
  [libvirtError.accessDenied]: (message) => new Fault(403, 'LibvirtDenied', message),
}

/** What libvirt answered, as a Fault whose details hold libvirt's own number. `what` is the call: `domain-start instance-00000001`. */
export function libvirtFault(code: number, message: string, what: string): Fault {
  // A name that another domain has is told with the number of all other failures.
  const number = code === libvirtError.operationFailed && / already exists with uuid /.test(message) ? libvirtError.domainExists : code
  const { status, code: name } = (words[number] ?? ((text) => new Fault(500, 'LibvirtError', text)))(message)
  return new Fault(status, name, `libvirt ${what}: ${message}`, { details: { libvirtCode: code } })
}

export const libvirtUnavailable = (socketPath: string, why: string, cause?: unknown): Fault =>
  unavailable(`libvirt does not answer on ${socketPath}: ${why}. Is libvirtd running?`, 'LibvirtUnavailable', cause)

/** Whether the error says that there is no such domain (any more). */
export const isNoDomain = (error: unknown): boolean => error instanceof Fault && error.code === 'NoDomain'
/** Whether the domain was in the wrong state for the call: started already, not running, ... */
export const isWrongState = (error: unknown): boolean => error instanceof Fault && error.code === 'DomainState'
