import Type from 'typebox'
import type { Api } from '../kernel/http/api.ts'
import { Policy } from '../kernel/policy/policy.ts'
import { type Auditor, findLeaks } from './leaks.ts'

const Leak = Type.Object(
  { kind: Type.String(), name: Type.String(), owner: Type.Union([Type.String(), Type.Null()]), where: Type.String(), why: Type.String() },
  { additionalProperties: false },
)

/** Yun's own API for operators: what is wrong here, and why. */
export function doctorApi(auditor: Auditor): Api {
  return {
    name: 'doctor',
    prefix: '/doctor/v1',
    policy: new Policy({ 'doctor:leaks': 'role:admin' }),
    fault: (fault) => ({ error: { code: fault.status, title: fault.code, message: fault.message } }),
    routes: [
      {
        method: 'GET',
        path: '/leaks',
        doc: 'Everything on the hosts and in the databases that nothing asks for',
        policy: 'doctor:leaks',
        response: Type.Object(
          { leaks: Type.Array(Leak), examined: Type.Record(Type.String(), Type.Integer()) },
          { additionalProperties: false },
        ),
        handler: () => findLeaks(auditor),
      },
    ],
  }
}
