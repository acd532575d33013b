import type { Diagnostics } from '../rpc.ts'

/** As of 2.48: the same words for every hypervisor. */
export function inCommonWords({ disk_details, nic_details, ...rest }: Diagnostics) {
  const nameless = <One extends { name: string }>({ name: _name, ...counted }: One) => counted
  return { ...rest, disk_details: disk_details.map(nameless), nic_details: nic_details.map(nameless) }
}

/** Before 2.48: what libvirt's driver called what it counted, by the names of the devices. */
export function inLibvirtsWords(counted: Diagnostics): Record<string, number | null> {
  const named = Object.entries({
    cpu: counted.cpu_details.map(({ id, time }) => ({ [`cpu${id}_time`]: time })),
    disks: counted.disk_details.map((one) => ({
      [`${one.name}_read_req`]: one.read_requests,
      [`${one.name}_read`]: one.read_bytes,
      [`${one.name}_write_req`]: one.write_requests,
      [`${one.name}_write`]: one.write_bytes,
      [`${one.name}_errors`]: one.errors_count,
    })),
    cards: counted.nic_details.map((one) => ({
      [`${one.name}_rx`]: one.rx_octets,
      [`${one.name}_rx_packets`]: one.rx_packets,
      [`${one.name}_rx_errors`]: one.rx_errors,
      [`${one.name}_rx_drop`]: one.rx_drop,
      [`${one.name}_tx`]: one.tx_octets,
      [`${one.name}_tx_packets`]: one.tx_packets,
      [`${one.name}_tx_errors`]: one.tx_errors,
      [`${one.name}_tx_drop`]: one.tx_drop,
    })),
  }).flatMap(([, list]) => list as Record<string, number | null>[])
  return Object.assign({ memory: counted.memory_details.maximum * 1024 }, ...named)
}
