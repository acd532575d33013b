import type { Fault } from '../../kernel/errors/errors.ts'

export const networkFault = (fault: Fault) => ({ NeutronError: { type: fault.code, message: fault.message, detail: '' } })
