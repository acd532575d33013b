import { COMPUTE_CONTROL, control, type Vif } from '../../compute/rpc.ts'
import { removeConfigDrive } from './config-drive.ts'
import { destroy, undefine } from './domain.ts'
import { instanceDirectories, removeDirectory } from './instance-directory.ts'
import { unplug } from './plug.ts'
import type { ResourceTracker } from './resource-tracker.ts'
import type { World } from './world.ts'

/** All of a server that is not this host's any more: if it lives on another, its volumes and ports are in use there. */
export async function dismiss(world: World, tracker: ResourceTracker, { uuid, vifs }: { uuid: string; vifs: Vif[] }): Promise<void> {
  await destroy(world, uuid)
  await undefine(world, uuid)
  await unplug(world, { vifs: [...vifs, ...(await pluggedFor(world, uuid))] })
  await removeConfigDrive(world, uuid)
  await removeDirectory(world, uuid)
  await tracker.unclaim(uuid)
}

/** Ports that were its own when it was here; it may have lost them elsewhere. */
async function pluggedFor({ machine: { ovs } }: World, uuid: string): Promise<{ portId: string }[]> {
  const own = (await ovs.ports()).filter(({ externalIds }) => externalIds['vm-uuid'] === uuid)
  return own.flatMap(({ externalIds: { 'iface-id': portId } }) => (portId ? [{ portId }] : []))
}

/** Before a host that was away does anything, it parts with what is no longer its own. Returns which servers those were. */
export async function partWithDeparted(world: World, tracker: ResourceTracker): Promise<string[]> {
  const { bus, host, log } = world.options
  const domains = await world.domains.list()
  const uuids = [...new Set([...domains.map((one) => one.uuid), ...(await instanceDirectories(world)), ...tracker.claims()])]
  if (uuids.length === 0) return []
  const departed = await bus.call(COMPUTE_CONTROL, control.departed, { host, uuids })
  for (const one of departed) {
    log.warn({ uuid: one.uuid }, 'this server is not this host’s any more: what was left of it here goes')
    await dismiss(world, tracker, one)
  }
  return departed.map((one) => one.uuid)
}
