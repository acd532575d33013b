import { at, saga, step } from '../../kernel/saga/saga.ts'
import { specOf, vifsOf } from '../app/instance-spec.ts'
import { connectionsOf } from '../app/volume-connection.ts'
import { host, type ImageSpec } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { ask, LONG, onItsHost, type ServerRun, serverOf, undoOnItsHost, uuid } from './on-host.ts'
import { asItWas, giveBack, intoError, powerOff, redefine, settle, startAgain, wasRunning } from './operation.ts'

type Rescue = ServerRun<{ image: ImageSpec }>

const kept = (run: ServerRun) => ({ ...uuid(run), name: 'rescue' })

/** Boots another image with the server's own disk as the second one, which lies aside as disk.rescue meanwhile. */
export const rescueServer = saga<Rescue>(
  'rescue-server',
  [
    step(null, 'was-running', at.host, wasRunning, null), // only reads
    step(null, 'power-off', at.host, powerOff, startAgain),
    step(null, 'keep-disk', at.host, onItsHost(host.keepDisk, kept, LONG), backAsItWas),
    step(26, 'fetch-base', at.host, fetchRescueImage, null, says.base), // the cache is shared by all servers and ages
    step(27, 'create-overlay', at.host, build.createOverlay, null, says.overlay), // the kept disk comes in its place
    step(31, 'domain-xml', at.host, rescueXml, null, says.xml),
    step(32, 'define-domain', at.host, build.define, null, says.defined), // defined as it was when the disk comes back
    step(37, 'start-domain', at.host, build.start, build.destroy, says.started),
    step(null, 'rescued', at.control, settle({ vmState: 'rescued', powerState: 'running' }), asItWas),
  ],
  { failed: giveBack },
)

/** Back to its own disk. No undos: whatever stops it, the user unrescues again or deletes. */
export const unrescueServer = saga<ServerRun>(
  'unrescue-server',
  [
    step(null, 'power-off', at.host, onItsHost(host.destroy, uuid), null),
    step(null, 'restore-disk', at.host, onItsHost(host.restoreDisk, kept), null),
    step(31, 'domain-xml', at.host, build.domainXml, null, says.xml),
    step(32, 'define-domain', at.host, build.define, null, says.defined),
    step(37, 'start-domain', at.host, build.start, null, says.started),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }), null),
  ],
  { failed: intoError },
)

async function backAsItWas(run: Rescue): Promise<void> {
  await undoOnItsHost(host.restoreDisk, kept)(run)
  await redefine(run)
}

async function fetchRescueImage(run: Rescue) {
  const row = await serverOf(run)
  return await ask(run, row.host!, host.fetchBase, { image: run.input.image }, LONG)
}

async function rescueXml(run: Rescue) {
  const row = await serverOf(run)
  const volumes = await connectionsOf(run.world, row)
  return await ask(run, row.host!, host.makeXml, { instance: specOf(row), vifs: vifsOf(row), volumes, rescue: true })
}
