import { toJson } from '../../kernel/db/columns.ts'
import { notFound } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { failAction } from '../app/action.ts'
import { PORTS_MAY_CHANGE } from '../app/attachment.ts'
import { flavorOf, requestOf, type ServerRequest, vifsOf } from '../app/instance-spec.ts'
import { hostOf, mustBeIn } from '../app/server-state.ts'
import { host, type Vif } from '../rpc.ts'
import { says } from './evidence.ts'
import { givePortBack, mustBeFree } from './given-ports.ts'
import { allocateNetwork, networkInfo } from './networking.ts'
import { ask, changeRequest, type ServerRun, serverOf, tell } from './on-host.ts'

type Attach = ServerRun<{ wanted: ServerRequest['networks'][number] }, { 'network-info': { vifs: Vif[] } }>

const LIVE = ['active', 'paused']

/** One more port: made or taken, plugged as at creation, hot-plugged into the guest. */
export const attachInterface = saga<Attach>(
  'attach-interface',
  [
    step(null, 'look', at.control, look, null), // only reads
    step(null, 'wish', at.control, addWish, dropWish),
    step(18, 'allocate-network', at.control, allocateNetwork, releasePort, says.ports),
    step(21, 'network-info', at.control, networkInfo, null, says.networkInfo), // refreshed when the wish is dropped
    step(null, 'plug', at.host, plug, unplug),
    step(null, 'attach', at.host, attach, unattach),
  ],
  { failed: (run, error) => failAction(run.world.database.db, run.input.serverId, run.requestId, error.message) },
)

export const detachInterface = saga<ServerRun<{ portId: string }>>(
  'detach-interface',
  [
    step(null, 'detach', at.host, detach, null), // a detachment only goes forward
    step(null, 'release', at.control, release, null),
  ],
  { failed: (run, error) => failAction(run.world.database.db, run.input.serverId, run.requestId, error.message) },
)

/** One that was free when the user asked may be a server's by now, or this one's. */
async function look(run: Attach): Promise<void> {
  const { portId, given } = run.input.wanted
  if (given) await mustBeFree(run, portId)
}

/** What was under way when it was asked for may have taken the server elsewhere. */
async function addWish(run: Attach): Promise<void> {
  const row = await serverOf(run)
  mustBeIn(PORTS_MAY_CHANGE, row, 'attach_interface')
  hostOf(row)
  const { wanted } = run.input
  await changeRequest(run, ({ networks }) => ({ networks: [...without(networks, wanted.portId), wanted] }))
}

async function dropWish(run: Attach): Promise<void> {
  await forgetPort(run, run.input.wanted.portId)
}

const without = <Of extends { portId: string }>(all: Of[], portId: string): Of[] => all.filter((one) => one.portId !== portId)

async function forgetPort(run: ServerRun, portId: string): Promise<void> {
  const vifs = without(vifsOf(await serverOf(run)), portId)
  await changeRequest(run, ({ networks }) => ({ networks: without(networks, portId) }), { network_info_json: toJson(vifs) })
}

function releasePort(run: Attach): Promise<void> {
  return free(run, run.input.wanted.portId, run.input.wanted.given)
}

async function free(run: ServerRun, portId: string, given: boolean): Promise<void> {
  if (!given) return await run.world.networks.deletePort(portId)
  await givePortBack(run, portId)
}

async function vifOf(run: ServerRun, portId: string): Promise<Vif | undefined> {
  return vifsOf(await serverOf(run)).find((vif) => vif.portId === portId)
}

async function plug(run: Attach): Promise<void> {
  const row = await serverOf(run)
  const vif = await vifOf(run, run.input.wanted.portId)
  if (!vif) throw notFound(`Port ${run.input.wanted.portId} is not the server's.`, 'PortNotFound')
  for (const message of [host.createBridge, host.createVeth, host.joinBridge, host.joinIntegration])
    await tell(run, hostOf(row), message as typeof host.createBridge, { uuid: row.id, vif, flavor: flavorOf(row) })
}

async function unplug(run: Attach): Promise<void> {
  const row = await serverOf(run)
  const vif = await vifOf(run, run.input.wanted.portId)
  if (vif && row.host) await tell(run, row.host, host.unplug, { vifs: [vif] })
}

async function attach(run: Attach): Promise<void> {
  const row = await serverOf(run)
  const vif = (await vifOf(run, run.input.wanted.portId))!
  await ask(run, hostOf(row), host.attachInterface, { uuid: row.id, vif, live: LIVE.includes(row.vm_state) })
}

async function unattach(run: Attach): Promise<void> {
  const row = await serverOf(run)
  const vif = await vifOf(run, run.input.wanted.portId)
  if (vif && row.host) await tell(run, row.host, host.detachInterface, { uuid: row.id, vif, live: LIVE.includes(row.vm_state) })
}

async function detach(run: ServerRun<{ portId: string }>): Promise<void> {
  const row = await serverOf(run)
  const vif = await vifOf(run, run.input.portId)
  if (!vif || !row.host) return
  await tell(run, row.host, host.detachInterface, { uuid: row.id, vif, live: LIVE.includes(row.vm_state) })
  await tell(run, row.host, host.unplug, { vifs: [vif] })
}

async function release(run: ServerRun<{ portId: string }>): Promise<void> {
  const { portId } = run.input
  const { networks } = requestOf(await serverOf(run))
  await free(run, portId, networks.find((one) => one.portId === portId)?.given ?? false)
  await forgetPort(run, portId)
}
