import { at, saga, step } from '../../kernel/saga/saga.ts'
import { requestOf } from '../app/instance-spec.ts'
import { connect } from '../app/volume-connection.ts'
import { blockDevicesOf } from '../db/instances.ts'
import { host, type ImageSpec } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { bindTo } from './moving.ts'
import { networkInfo, waitUntilPlugged } from './networking.ts'
import { ask, changeRequest, LONG, type ServerRun, serverOf } from './on-host.ts'
import { giveBack, settle } from './operation.ts'
import * as schedule from './schedule.ts'
import { newAttachmentIds, removeShelvedImage, reserveVolumes, unbindPorts } from './shelve-server.ts'

type Unshelving = ServerRun<{
  /** The picture of its disk; null for a server that boots from a volume. */
  image: ImageSpec | null
  /** Where the user wants it now. */
  zone: string | null
  target: string | null
}>

/** Built on a host that the scheduler chooses anew, from what was kept of its disk; with its ports, addresses and volumes. */
export const unshelveServer = saga<Unshelving>(
  'unshelve-server',
  [
    step(8, 'filter-properties', at.control, anywhere, null, says.filterProperties),
    step(10, 'request-spec', at.conductor, schedule.makeRequestSpec, null, { ...says.spec, looks: true }),
    step(12, 'host-states', at.scheduler, schedule.hostStates, null, { ...says.hostStates, looks: true }),
    step(13, 'filter-hosts', at.scheduler, schedule.filterHosts, null, { ...says.filters, looks: true }),
    step(14, 'weigh-hosts', at.scheduler, schedule.weighHosts, null, { ...says.weights, looks: true }),
    step(15, 'select-host', at.conductor, schedule.selectHost, schedule.deselectHost, says.selected),
    step(17, 'claim', at.host, build.claim, build.unclaim, says.claim),
    step(18, 'bind-ports', at.control, bindHere, unbindPorts),
    step(21, 'network-info', at.control, networkInfo, null, says.networkInfo), // its ports stay its own
    step(null, 'attachment-ids', at.control, newAttachmentIds, null), // only makes them up
    step(null, 'block-devices', at.control, connectVolumes, reserveVolumes),
    step(24, 'spawn', at.control, build.spawn, null, { ...build.task('spawning'), ...says.spawn }),
    step(25, 'prepare-directory', at.host, build.prepareDirectory, build.removeDirectory, says.path),
    step(26, 'fetch-base', at.host, fetchPicture, null, says.base), // the cache is shared by all servers and ages
    step(27, 'create-overlay', at.host, build.createOverlay, build.removeDisk, says.overlay),
    step(28, 'resize-disk', at.host, build.resizeDisk, null, says.size), // goes with the disk
    step(29, 'config-drive', at.host, build.configDrive, build.removeConfigDrive, says.configDrive),
    ...build.domainAndNetwork,
    step(null, 'launch-domain', at.host, build.launch, build.destroy),
    step(null, 'vif-plugged', at.control, waitUntilPlugged, null),
    step(37, 'start-domain', at.host, build.start, build.destroy, says.started),
    step(null, 'active', at.control, active, putAway('shelved_offloaded')), // from here on it has what was kept
    step(null, 'remove-shelved-image', at.control, async (run) => await removeShelvedImage(run, await serverOf(run)), null),
  ],
  { retry: { from: 'select-host', when: build.mayGoElsewhere }, pivot: 'active', failed: giveBack },
)

/** Of a server that has not left its host yet: it is started. */
export const unshelveInPlace = saga<ServerRun>(
  'unshelve-in-place',
  [
    ...build.domainAndNetwork.map((one) => ({ ...one, undo: null })),
    step(37, 'start-domain', at.host, build.start, null, says.started),
    step(null, 'active', at.control, settle({ vmState: 'active', powerState: 'running' }), putAway('shelved')),
    step(null, 'remove-shelved-image', at.control, async (run) => await removeShelvedImage(run, await serverOf(run)), null),
  ],
  { pivot: 'active', failed: giveBack },
)

/** Undo of a new vm_state. */
function putAway(vmState: 'shelved' | 'shelved_offloaded') {
  return async (run: ServerRun) => await settle({ vmState, taskState: 'unshelving' })(run)
}

/** Where it was, and which hosts failed to build it then, counts no more. */
async function anywhere(run: Unshelving): Promise<schedule.FilterProperties> {
  const { zone, target } = run.input
  const row = await changeRequest(run, () => ({ triedHosts: [] }), zone ? { requested_zone: zone } : {})
  return { hints: requestOf(row).hints, zone: zone ?? row.requested_zone, forcedHost: target, forcedNode: null, ignoreHosts: [] }
}

function bindHere(run: Unshelving): Promise<void> {
  return bindTo(run, run.outputs['select-host'].host)
}

async function connectVolumes(run: Unshelving): Promise<{ volumes: string[] }> {
  const row = await serverOf(run)
  const devices = await blockDevicesOf(run.world.database.db, [row.id])
  for (const device of devices) {
    await connect(run.world, row, device)
    await run.world.volumes.completeAttachment(device.id)
  }
  return { volumes: devices.map((one) => one.volume_id!) }
}

async function fetchPicture(run: Unshelving) {
  const { image } = run.input
  return image ? await ask(run, (await serverOf(run)).host!, host.fetchBase, { image }, LONG) : null
}

async function active(run: Unshelving): Promise<void> {
  await changeRequest(run, () => ({ baseImage: run.input.image, triedHosts: [] }))
  await build.becomeActive(run)
}
