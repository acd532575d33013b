import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { realDnsmasq } from '../../drivers/dnsmasq/real.ts'
import { realHaProxy } from '../../drivers/haproxy/real.ts'
import { realIpTables } from '../../drivers/iptables/real.ts'
import { realNetNs } from '../../drivers/netns/real.ts'
import { OvsdbOvs } from '../../drivers/ovs/real.ts'
import { realRadv } from '../../drivers/radv/real.ts'
import { type Bus, message } from '../../kernel/bus/bus.ts'
import { joinChild, parentBus } from '../../kernel/bus/ipc-testing.ts'
import { silent } from '../../kernel/log/log.ts'
import type { DeviceDetails } from '../../network/rpc.ts'
import { LAB_STATE, type LabMachine } from '../machine/lab.ts'
import { NetworkHost } from './agent.ts'
import { qbrOf, tapOf } from './names.ts'
import { plug, unplug } from './testing.ts'

/** The network agents of a host of a lab, in a process of their own inside it, and guests that are namespaces plugged as guests are. */
const guest = {
  plug: message<DeviceDetails, void>('lab-plug'),
  unplug: message<DeviceDetails, void>('lab-unplug'),
  status: message<object, ReturnType<NetworkHost['status']>>('lab-status'),
}
const topic = (host: string) => `lab.${host}`

export interface LabAgents {
  /** Namespace `guest` on the host gets the port's MAC and addresses on eth0, and a default route where told. */
  plug(details: DeviceDetails): Promise<void>
  unplug(details: DeviceDetails): Promise<void>
  status(): Promise<ReturnType<NetworkHost['status']>>
  /** Ends the process; what it built stays. */
  kill(): void
}

export const guestOf = ({ portId }: Pick<DeviceDetails, 'portId'>) => `guest-${portId.slice(0, 8)}`

export async function labAgents(bus: Bus, { machine, name, address }: LabMachine): Promise<LabAgents> {
  const [program, ...args] = machine.enter
  const child = spawn(program!, [...args, process.execPath, import.meta.filename, name, address], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  joinChild(bus, child)
  await new Promise<void>((resolve, reject) => {
    const stop = bus.subscribe(message<{ host: string }, void>('lab-ready'), ({ host }) => {
      if (host !== name) return
      stop()
      resolve()
    })
    child.once('exit', () => reject(new Error(`the agents of ${name} ended`)))
  })
  return {
    plug: (details) => bus.call(topic(name), guest.plug, details),
    unplug: (details) => bus.call(topic(name), guest.unplug, details),
    status: () => bus.call(topic(name), guest.status, {}),
    kill: () => child.kill('SIGKILL'),
  }
}

if (import.meta.main) await serve(process.argv[2]!, process.argv[3]!)

async function serve(host: string, address: string): Promise<void> {
  const bus = parentBus()
  const machine = {
    ovs: new OvsdbOvs(),
    netns: realNetNs(),
    iptables: realIpTables(),
    dnsmasq: realDnsmasq({ directory: join(LAB_STATE, 'dhcp') }),
    haproxy: realHaProxy({ directory: join(LAB_STATE, 'ns-metadata-proxy') }),
    radv: realRadv({ directory: join(LAB_STATE, 'ra') }),
  }
  const agents = new NetworkHost({
    settings: {
      host,
      serves: { dhcp: true, l3: true },
      bridgeMappings: { public: 'br-ex' },
      tunnels: { address, types: ['vxlan', 'gre'] },
      external: { hostAddress: false, masquerade: false },
      dnsDomain: 'openstacklocal',
      upstreamDns: [],
      metadataSocket: join(LAB_STATE, 'metadata.sock'),
      everyMs: 15_000,
    },
    machine,
    bus,
    log: silent(),
    metadataSecret: 'between the two of us',
    metadataApi: async () => ({ status: 200, headers: {}, body: '' }),
  })
  bus.serve(topic(host), guest.status, () => agents.status())
  bus.serve(topic(host), guest.plug, async (details) => {
    const namespace = guestOf(details)
    await plug(machine, details)
    await machine.netns.ensureNamespace(namespace)
    await machine.netns.apply(undefined, [
      { do: 'add-veth', name: tapOf(details.portId), peer: 'eth0', peerNamespace: namespace },
      { do: 'set-link', name: tapOf(details.portId), master: qbrOf(details.portId), up: true },
    ])
    await machine.netns.apply(namespace, [
      { do: 'set-link', name: 'eth0', mac: details.macAddress, mtu: details.segment.mtu, up: true },
      ...details.fixedIps.map((fixed) => ({ do: 'set-address' as const, dev: 'eth0', cidr: `${fixed.address}/24` })),
      { do: 'set-route', to: 'default', via: details.fixedIps[0]!.address.replace(/\d+$/, '1') },
    ])
    await machine.netns.setChecksumOffload(namespace, 'eth0', false)
  })
  bus.serve(topic(host), guest.unplug, async (details) => {
    await unplug(machine, details)
    await machine.netns.removeNamespace(guestOf(details))
  })
  await agents.start()
  bus.publish(message<{ host: string }, void>('lab-ready'), { host })
}
