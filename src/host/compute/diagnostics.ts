import type { Diagnostics } from '../../compute/rpc.ts'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { KiB } from '../../kernel/units/units.ts'
import { isActive, powerOf } from './power-states.ts'
import type { World } from './world.ts'

/** What the hypervisor counts of a guest. */
export async function diagnostics({ machine: { libvirt }, options }: World, uuid: string): Promise<Diagnostics> {
  const info = await libvirt.domainInfo(uuid)
  const xml = parseXml(await libvirt.domainXml(uuid))
  const on = isActive(info)
  const disks = find(xml, 'devices', 'disk')
  const cards = find(xml, 'devices', 'interface')
  const diskDetails = disks.map(async (disk) => {
    const name = first(disk, 'target')?.attributes.dev ?? ''
    const stats = on ? await libvirt.diskStats(uuid, name) : undefined
    return {
      name,
      read_bytes: stats?.readBytes ?? null,
      read_requests: stats?.readRequests ?? null,
      write_bytes: stats?.writeBytes ?? null,
      write_requests: stats?.writeRequests ?? null,
      errors_count: stats?.errors ?? null,
    }
  })
  const nicDetails = cards.map(async (card) => {
    const name = first(card, 'target')?.attributes.dev ?? ''
    const stats = on ? await libvirt.interfaceStats(uuid, name) : undefined
    return {
      name,
      mac_address: first(card, 'mac')?.attributes.address ?? null,
      rx_octets: stats?.rxBytes ?? null,
      rx_packets: stats?.rxPackets ?? null,
      rx_errors: stats?.rxErrors ?? null,
      rx_drop: stats?.rxDrops ?? null,
      rx_rate: null,
      tx_octets: stats?.txBytes ?? null,
      tx_packets: stats?.txPackets ?? null,
      tx_errors: stats?.txErrors ?? null,
      tx_drop: stats?.txDrops ?? null,
      tx_rate: null,
    }
  })
  return {
    state: await powerOf(libvirt, info),
    driver: 'libvirt',
    hypervisor: options.kvm.works ? 'kvm' : 'qemu',
    hypervisor_os: 'linux',
    uptime: null,
    config_drive: disks.some(({ attributes }) => attributes.device === 'cdrom'),
    num_cpus: info.vcpus,
    num_nics: cards.length,
    num_disks: disks.length,
    memory_details: { maximum: Math.round(info.maxMemoryKiB / KiB), used: Math.round(info.memoryKiB / KiB) },
    cpu_details: Array.from({ length: info.vcpus }, (_, id) => ({
      id,
      // libvirt counts the guest's processors together
      time: info.vcpus === 1 ? info.cpuTimeNs : null,
      utilisation: null,
    })),
    disk_details: await Promise.all(diskDetails),
    nic_details: await Promise.all(nicDetails),
  }
}
