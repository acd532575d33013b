import { control, events, NETWORK_CONTROL } from '../rpc.ts'
import { agentReported } from './agents.ts'
import type { NetworkContext } from './context.ts'
import { deviceDetails } from './device-details.ts'
import { dhcpNetworks, dhcpPorts } from './dhcp-networks.ts'
import { groupAddresses } from './group-addresses.ts'
import { neighbours } from './neighbours.ts'
import { dhcpReady, leaseSeen, portByAddress, routerReady, tunnelEndpoints, wired } from './reports.ts'
import { routerDetails } from './router-details.ts'
import { giveWork } from './scheduling.ts'

/** Answers the agents of the hosts; returns how to stop. */
export function serveAgents(context: NetworkContext): () => void {
  const { bus } = context
  const stops = [
    context.groupNews.start(),
    bus.serve(NETWORK_CONTROL, control.deviceDetails, ({ portIds }) => deviceDetails(context, portIds)),
    bus.serve(NETWORK_CONTROL, control.groupAddresses, ({ groupIds }) => groupAddresses(context, groupIds)),
    bus.serve(NETWORK_CONTROL, control.devicesUp, ({ host, devices }) =>
      wired(
        context,
        host,
        devices.map((device) => device.portId),
        true,
      ),
    ),
    bus.serve(NETWORK_CONTROL, control.devicesDown, ({ host, portIds }) => wired(context, host, portIds, false)),
    bus.serve(NETWORK_CONTROL, control.dhcpNetworks, ({ host }) => dhcpNetworks(context, host)),
    bus.serve(NETWORK_CONTROL, control.dhcpPorts, ({ networkId, portIds }) => dhcpPorts(context, networkId, portIds)),
    bus.serve(NETWORK_CONTROL, control.dhcpReady, (message) => dhcpReady(context, message)),
    bus.serve(NETWORK_CONTROL, control.leaseSeen, (message) => leaseSeen(context, message)),
    bus.serve(NETWORK_CONTROL, control.routers, ({ host }) => routerDetails(context, host)),
    bus.serve(NETWORK_CONTROL, control.portByAddress, (message) => portByAddress(context, message)),
    bus.serve(NETWORK_CONTROL, control.routerReady, (message) => routerReady(context, message)),
    bus.subscribe(events.hostAlive, ({ host }) => context.heartbeats.hear(host)),
    bus.serve(NETWORK_CONTROL, control.agentReport, async (report) => {
      if (await agentReported(context, report)) await giveWork(context, report.host, report.agentType)
    }),
    bus.serve(NETWORK_CONTROL, control.tunnelEndpoints, (message) => tunnelEndpoints(context, message)),
    bus.serve(NETWORK_CONTROL, control.neighbours, (message) => neighbours(context, message)),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}
