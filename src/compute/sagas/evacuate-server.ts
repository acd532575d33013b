import { at, saga, step } from '../../kernel/saga/saga.ts'
import { flavorOf, imageBacked, vifsOf } from '../app/instance-spec.ts'
import { resourcesOf } from '../app/scheduler/request-spec.ts'
import { computeTopic, host } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { bindToDestination, bindToSource, elsewhere, ifItRan, type Moving, providerOf, setMigration, type Was } from './moving.ts'
import { networkInfo, waitUntilPlugged } from './networking.ts'
import { change, changeRequest, serverOf } from './on-host.ts'
import { giveBack, settle } from './operation.ts'
import * as schedule from './schedule.ts'

type Evacuation = Moving & { input: { adminPass?: string } }

/**
 * A server whose host is dead is built again on another: same ports, addresses and volumes; its disk from the image. What is left of it on the dead host goes when that comes
 * back, before it does anything else (app/departed.ts); one that only seemed dead is told at once.
 */
export const evacuateServer = saga<Evacuation>(
  'evacuate-server',
  [
    step(null, 'was', at.control, whereItWas, null), // only reads
    step(8, 'filter-properties', at.control, elsewhere, null, { ...says.filterProperties, looks: true }),
    step(10, 'request-spec', at.conductor, schedule.makeRequestSpec, null, { ...says.spec, looks: true }),
    step(12, 'host-states', at.scheduler, schedule.hostStates, null, { ...says.hostStates, looks: true }),
    step(13, 'filter-hosts', at.scheduler, schedule.filterHosts, null, { ...says.filters, looks: true }),
    step(14, 'weigh-hosts', at.scheduler, schedule.weighHosts, null, { ...says.weights, looks: true }),
    step(15, 'select-host', at.conductor, schedule.selectHost, backOnItsHost, says.selected),
    step(17, 'claim', at.host, build.claim, build.unclaim, says.claim),
    step(18, 'bind-ports', at.control, bindToDestination, bindToSource, build.task('rebuilding')),
    step(21, 'network-info', at.control, networkInfo, null, says.networkInfo),
    step(25, 'prepare-directory', at.host, build.prepareDirectory, build.removeDirectory, says.path),
    step(26, 'fetch-base', at.host, build.fetchBase, null, says.base), // the cache is shared by all servers and ages
    step(27, 'create-overlay', at.host, build.createOverlay, build.removeDisk, says.overlay),
    step(28, 'resize-disk', at.host, build.resizeDisk, null, says.size),
    step(29, 'config-drive', at.host, build.configDrive, build.removeConfigDrive, says.configDrive),
    step(30, 'inject-files', at.host, build.injectFiles, null, says.injected),
    ...build.domainAndNetwork,
    step(null, 'launch-domain', at.host, ifItRan(build.launch), build.destroy),
    step(null, 'vif-plugged', at.control, ifItRan(waitUntilPlugged), null),
    step(37, 'start-domain', at.host, ifItRan(build.start), build.destroy),
    step(null, 'settled', at.control, become, null),
    step(null, 'dismiss', at.control, dismissThere, null), // the server is elsewhere now
  ],
  { failed },
)

async function whereItWas(run: Evacuation): Promise<Was> {
  const row = await serverOf(run)
  const providerId = await providerOf(run, row.host!)
  return { host: row.host!, node: row.node!, zone: row.zone, providerId, running: row.vm_state !== 'stopped' }
}

/** Undo of the choice: in the books of placement and in its row it is where it was. */
async function backOnItsHost(run: Evacuation): Promise<void> {
  const row = await serverOf(run)
  const { host, node, zone, providerId } = run.outputs.was
  await run.world.placement.claim(row.id, {
    allocations: { [providerId]: resourcesOf(flavorOf(row), !imageBacked(row)) },
    projectId: row.project_id,
    userId: row.user_id,
  })
  await change(run, { host, node, zone })
}

async function failed(run: Evacuation, error: Error): Promise<void> {
  await setMigration(run, { status: 'failed' })
  await giveBack(run, error)
}

async function become(run: Evacuation): Promise<void> {
  const { host, node } = run.outputs['select-host']
  await changeRequest(run, () => ({ baseImage: null }))
  await setMigration(run, { status: 'done', dest_host: host, dest_node: node })
  if (run.outputs.was.running) await build.becomeActive(run)
  else await settle({ vmState: 'stopped', powerState: 'shutdown' })(run)
}

async function dismissThere(run: Evacuation): Promise<void> {
  const row = await serverOf(run)
  await run.world.bus
    .call(computeTopic(run.outputs.was.host), host.dismiss, { uuid: row.id, vifs: vifsOf(row) }, { timeoutMs: 5_000 })
    .catch(() => {}) // dead, as was said: it hears of it when it comes back
}
