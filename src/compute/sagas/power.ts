import { at, saga, step } from '../../kernel/saga/saga.ts'
import { host } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { onItsHost, type ServerRun, uuid } from './on-host.ts'
import { giveBack, intoError, settle } from './operation.ts'

/** A guest's power. None has an undo: what a guest did meanwhile cannot be taken back, and the next operation starts from what is. */

const timeoutMs = (run: ServerRun<{ timeoutMs?: number }>) => run.input.timeoutMs ?? 60_000

export const stopServer = saga<ServerRun>(
  'stop-server',
  [
    step(
      null,
      'power-off',
      at.host,
      onItsHost(host.stop, (run) => ({ ...uuid(run), timeoutMs: timeoutMs(run) })),
      null,
    ),
    step(null, 'stopped', at.control, settle({ vmState: 'stopped', powerState: 'shutdown' }), null),
  ],
  { failed: giveBack },
)

const plug = [
  step<build.Build>(33, 'create-qbr', at.host, build.createBridge, null, says.bridges),
  step<build.Build>(34, 'create-veth', at.host, build.createVeth, null, says.pairs),
  step<build.Build>(35, 'join-qbr', at.host, build.joinBridge, null, says.joined),
  step<build.Build>(36, 'join-br-int', at.host, build.joinIntegration, null, says.joined),
]
const define = [
  step<build.Build>(31, 'domain-xml', at.host, build.domainXml, null, says.xml),
  step<build.Build>(32, 'define-domain', at.host, build.define, null, says.defined),
]

export const startServer = saga<build.Build>(
  'start-server',
  [
    ...define,
    ...plug,
    step(37, 'start-domain', at.host, build.start, null, says.started),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }, { fault_json: null }), null),
  ],
  { failed: giveBack },
)

export const rebootServer = saga<ServerRun>(
  'reboot-server',
  [
    step(
      null,
      'reboot',
      at.host,
      onItsHost(host.reboot, (run) => ({ ...uuid(run), hard: false })),
      null,
    ),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }), null),
  ],
  { failed: giveBack },
)

/** Off, made anew from the row, on: also mends what is broken on the host. */
export const hardRebootServer = saga<build.Build>(
  'hard-reboot-server',
  [
    step(null, 'power-off', at.host, onItsHost(host.destroy, uuid), null),
    ...define,
    ...plug,
    step(37, 'start-domain', at.host, build.start, null, says.started),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }, { fault_json: null }), null),
  ],
  { failed: intoError },
)

export const pauseServer = saga<ServerRun>(
  'pause-server',
  [
    step(null, 'pause', at.host, onItsHost(host.pause, uuid), null),
    step(null, 'paused', at.control, settle({ vmState: 'paused', powerState: 'paused' }), null),
  ],
  { failed: giveBack },
)

export const unpauseServer = saga<ServerRun>(
  'unpause-server',
  [
    step(null, 'unpause', at.host, onItsHost(host.unpause, uuid), null),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }), null),
  ],
  { failed: giveBack },
)

export const suspendServer = saga<ServerRun>(
  'suspend-server',
  [
    step(null, 'suspend', at.host, onItsHost(host.suspend, uuid, 600_000), null),
    step(null, 'suspended', at.control, settle({ vmState: 'suspended', powerState: 'suspended' }), null),
  ],
  { failed: giveBack },
)

export const resumeServer = saga<build.Build>(
  'resume-server',
  [
    ...plug,
    step(null, 'resume', at.host, onItsHost(host.resume, uuid, 600_000), null),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }), null),
  ],
  { failed: giveBack },
)

export const setPassword = saga<ServerRun<{ password: string }>>(
  'set-password',
  [
    step(
      null,
      'set-password',
      at.host,
      onItsHost(host.setPassword, (run) => ({ ...uuid(run), password: run.input.password })),
      null,
    ),
    step(null, 'done', at.control, settle({}), null),
  ],
  { failed: giveBack },
)
