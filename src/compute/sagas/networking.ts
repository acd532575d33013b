import { toJson } from '../../kernel/db/columns.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { asAskedFor, requestOf, vifsOf } from '../app/instance-spec.ts'
import { unableToAllocate } from '../app/wanted-networks.ts'
import type { InstanceRow } from '../db/tables.ts'
import type { Vif } from '../rpc.ts'
import { givePortBack, takePort } from './given-ports.ts'
import { change, type ServerRun, serverOf } from './on-host.ts'

const OWNER = 'compute:'
/** ms that the word of a plugged port may take before the network is asked without it. */
const WORD_MS = 150
/** ms between looks while no word comes. */
const LOOK_MS = 2_000

/** Step 18: asks the network service for the server's ports, on its host. Steps 19 (MAC), 20 (DHCP entry), 22 (security groups) and 23 (port object) happen there. */
export async function allocateNetwork(run: ServerRun): Promise<{ ports: string[]; networks: string[] }> {
  const row = await serverOf(run)
  const { networks } = requestOf(row)
  const allocated = networks.some((one) => !one.given && one.networkId === null) ? await allocatedFor(run, row.project_id) : null
  const groups = (JSON.parse(row.security_groups_json) as { id: string }[]).map((one) => one.id)
  for (const wanted of networks) {
    const common = {
      device_id: row.id,
      device_owner: `${OWNER}${row.zone ?? run.world.settings.defaultZone}`,
      'binding:host_id': row.host,
      dns_name: row.hostname,
    }
    if (wanted.given) await takePort(run, wanted.portId, common)
    else
      await run.world.networks.createPort({
        ...common,
        id: wanted.portId,
        network_id: wanted.networkId ?? allocated,
        project_id: row.project_id,
        admin_state_up: true,
        ...(groups.length > 0 ? { security_groups: groups } : {}),
        ...(wanted.fixedIp ? { fixed_ips: [{ ip_address: wanted.fixedIp }] } : {}),
      })
  }
  return { ports: networks.map((one) => one.portId), networks: networks.flatMap((one) => one.networkId ?? allocated ?? []) }
}

/** The network of a project that has none. */
async function allocatedFor(run: ServerRun, projectId: string): Promise<string> {
  try {
    return await run.world.networks.autoAllocatedTopology(projectId)
  } catch (error) {
    throw error instanceof Fault && error.status === 409 ? unableToAllocate(projectId, error) : error
  }
}

/** Ports that were made for the server go, those that were given are the user's again. */
export async function deallocateNetwork(run: ServerRun): Promise<void> {
  const row = await serverOf(run)
  await releasePorts(run, row)
}

export async function releasePorts(run: ServerRun, row: InstanceRow): Promise<void> {
  const { networks } = run.world
  const given = new Set(
    requestOf(row)
      .networks.filter((one) => one.given)
      .map((one) => one.portId),
  )
  const made = requestOf(row)
    .networks.filter((one) => !one.given)
    .map((one) => one.portId)
  const attached = vifsOf(row).map((vif) => vif.portId)
  for (const id of new Set([...made, ...attached])) if (!given.has(id)) await networks.deletePort(id)
  for (const id of given) await givePortBack(run, id)
}

/** Step 21: addresses, gateways, name servers, routes and MTU of all its ports, kept for the domain's XML and the guest's metadata. */
export async function networkInfo(run: ServerRun): Promise<{ vifs: Vif[] }> {
  const vifs = asAskedFor(await serverOf(run), await run.world.networks.vifs(run.input.serverId))
  const unbound = vifs.find((vif) => vif.vifType === 'binding_failed')
  if (unbound)
    throw new Fault(
      500,
      'PortBindingFailed',
      `Binding failed for port ${unbound.portId}: no Open vSwitch agent of its host reports to the network service.`,
    )
  await change(run, { network_info_json: toJson(vifs) })
  return { vifs }
}

export const forgetNetworkInfo = (run: ServerRun) => change(run, { network_info_json: '[]' })

/** Before the domain starts the network must say that each port is wired and filtered. @throws Fault 500 naming the ports that are not, after the time-out */
export async function waitUntilPlugged(run: ServerRun): Promise<{ ports: number; waitedMs: number }> {
  const { networks, externalEvents, settings } = run.world
  const startedAt = Date.now()
  const wanted = vifsOf(await serverOf(run)).map((vif) => vif.portId)
  // word of it is on its way as a rule: whoever asks before it comes asks twice
  if (wanted.length > 0) await externalEvents.next(wanted, WORD_MS, run.signal)
  for (let pending = wanted; pending.length > 0; ) {
    const woken = externalEvents.next(pending, LOOK_MS, run.signal)
    const ports = await networks.ports({ device_id: run.input.serverId })
    pending = wanted.filter((id) => ports.find((port: { id: string; status: string }) => port.id === id)?.status !== 'ACTIVE')
    if (pending.length === 0) break
    run.signal.throwIfAborted()
    if (Date.now() - startedAt > settings.vifPluggingTimeoutMs)
      throw new Fault(
        500,
        'VirtualInterfacePlugException',
        `The network did not say within ${settings.vifPluggingTimeoutMs / 1000} s that port ${pending.join(', ')} is plugged: look at the network agents (openstack network agent list).`,
      )
    await woken
  }
  return { ports: wanted.length, waitedMs: Date.now() - startedAt }
}
