import { conflict, Fault } from '../../kernel/errors/errors.ts'
import type { ServerRun } from './on-host.ts'

/** Ports that users made and give to servers: whoever comes first has one, and only that server gives it back. */

const inUse = (id: string) => conflict(`Port ${id} is still in use.`, 'PortInUse')

/** @throws Fault 409 when it is some server's by now, also this one's */
export async function mustBeFree(run: ServerRun, id: string): Promise<void> {
  if ((await run.world.networks.port(id)).device_id !== '') throw inUse(id)
}

/** @throws Fault 404, 409 when another server has it by now */
export async function takePort(run: ServerRun, id: string, columns: Record<string, unknown>): Promise<void> {
  const taken = await run.world.networks.updatePortIf(id, { device_id: run.input.serverId, ...columns }, ({ device_id }) =>
    ['', run.input.serverId].includes(device_id),
  )
  if (!taken) throw inUse(id)
}

/** The user's again. One that is gone, or another's by now, is left as it is. */
export async function givePortBack(run: ServerRun, id: string): Promise<void> {
  const free = { device_id: '', device_owner: '', 'binding:host_id': '' }
  try {
    await run.world.networks.updatePortIf(id, free, ({ device_id }) => device_id === run.input.serverId)
  } catch (error) {
    if (!(error instanceof Fault && error.status === 404)) throw error
  }
}
