import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { realDnsmasq } from '../drivers/dnsmasq/real.ts'
import { simulatedDnsmasq } from '../drivers/dnsmasq/simulated.ts'
import { realGuestFiles } from '../drivers/guest-files/real.ts'
import { simulatedGuestFiles } from '../drivers/guest-files/simulated.ts'
import { realHaProxy } from '../drivers/haproxy/real.ts'
import { simulatedHaProxy } from '../drivers/haproxy/simulated.ts'
import { realIpTables } from '../drivers/iptables/real.ts'
import { simulatedIpTables } from '../drivers/iptables/simulated.ts'
import { realIso } from '../drivers/iso/real.ts'
import { simulatedIso } from '../drivers/iso/simulated.ts'
import { realLibvirt } from '../drivers/libvirt/real.ts'
import { simulatedLibvirt } from '../drivers/libvirt/simulated.ts'
import { realNetNs } from '../drivers/netns/real.ts'
import { simulatedNetNs } from '../drivers/netns/simulated.ts'
import { OvsdbOvs } from '../drivers/ovs/real.ts'
import { simulatedOvs } from '../drivers/ovs/simulated.ts'
import { realQemuImg } from '../drivers/qemu-img/real.ts'
import { simulatedQemuImg } from '../drivers/qemu-img/simulated.ts'
import { realRadv } from '../drivers/radv/real.ts'
import { simulatedRadv } from '../drivers/radv/simulated.ts'
import type { TargetDriver } from '../drivers/tgt/driver.ts'
import { tgt } from '../drivers/tgt/real.ts'
import { simulatedTargets } from '../drivers/tgt/simulated.ts'
import { simulatedBackend } from '../drivers/volume-backend/simulated.ts'
import type { ComputeMachine } from '../host/compute/options.ts'
import type { Machine as NetworkMachine } from '../host/network/machine.ts'
import { type OpenedBackend, openBackend } from '../host/storage/open.ts'
import type { Settings } from './settings.ts'

/** Everything outside of us that one host works on. */
export type HostDrivers = ComputeMachine & NetworkMachine & { close(): Promise<void> }

/** Of this host's iSCSI target. */
export const targetOf = (settings: Settings) => ({ controlPort: 7, portal: `${settings.address || '127.0.0.1'}:3260` })

/** This machine's own. */
export function realDrivers(stateDir: string): HostDrivers {
  const libvirt = realLibvirt()
  const ovs = new OvsdbOvs()
  return {
    libvirt,
    ovs,
    netns: realNetNs(),
    iptables: realIpTables(),
    dnsmasq: realDnsmasq({ directory: join(stateDir, 'dhcp') }),
    haproxy: realHaProxy({ directory: join(stateDir, 'ns-metadata-proxy') }),
    radv: realRadv({ directory: join(stateDir, 'ra') }),
    qemuImg: realQemuImg(),
    iso: realIso(),
    guestFiles: realGuestFiles(),
    async close() {
      libvirt.close()
      await ovs.close()
    },
  }
}

/** A host that is played: its state lies in JSON files, so that it outlives the process as a real one does; without a directory it does not. */
export function simulatedDrivers(directory?: string): HostDrivers {
  const file = (name: string) => directory && join(directory, `${name}.json`)
  const netns = simulatedNetNs({ file: file('netns') })
  const namespaces = () => netns.namespaces()
  const ovs = simulatedOvs({ file: file('ovs'), netns })
  const network = {
    addTap: (name: string) => netns.addLink(name, 'tun'),
    removeTap: (name: string) => netns.dropLink(name),
  }
  const libvirt = simulatedLibvirt({ file: file('libvirt'), network })
  return {
    libvirt,
    ovs,
    netns,
    iptables: simulatedIpTables({ file: file('iptables'), namespaces }),
    dnsmasq: simulatedDnsmasq({ file: file('dnsmasq'), namespaces }),
    haproxy: simulatedHaProxy({ file: file('haproxy'), namespaces }),
    radv: simulatedRadv({ file: file('radv'), namespaces }),
    qemuImg: simulatedQemuImg(),
    iso: simulatedIso(),
    guestFiles: simulatedGuestFiles(),
    async close() {
      libvirt.close()
      await ovs.close()
    },
  }
}

export interface StorageDrivers extends OpenedBackend {
  targets: TargetDriver
}

export async function storageDrivers(settings: Settings): Promise<StorageDrivers> {
  const directory = join(settings.stateDir, 'volumes')
  if (settings.hypervisor === 'simulated') {
    const file = (name: string) => join(settings.stateDir, 'simulated', `${name}.json`)
    const backend = simulatedBackend({ file: file('volumes'), totalGiB: settings.storage.sizeGiB * 100 })
    return { backend, name: 'simulated', pool: 'files', notice: null, targets: simulatedTargets({ file: file('targets') }) }
  }
  const { backend: kind, volumeGroup, sizeGiB } = settings.storage
  return { ...(await openBackend({ kind, directory, volumeGroup, sizeGiB })), targets: tgt(targetOf(settings)) }
}

/** The name servers that this machine asks itself. */
export function nameServers(): string[] {
  try {
    return [...readFileSync('/etc/resolv.conf', 'utf8').matchAll(/^nameserver\s+(\S+)/gm)].map((match) => match[1]!)
  } catch {
    return []
  }
}
