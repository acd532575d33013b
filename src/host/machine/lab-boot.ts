import { exec } from '../../kernel/exec/exec.ts'
import { type DaemonOptions, ensureDaemons } from './daemons.ts'

/**
 * Runs inside a host of a lab and makes of it what a machine room delivers: its daemons, and the two uplinks in bridges. br-phy carries the address that tunnels
 * end at (a switch in userspace wants it on its own port), br-ex leads to the provider's network.
 */
export interface Boot {
  /** With the prefix: 192.168.50.1/24. */
  address: string
  daemons: DaemonOptions
}

const UPLINKS = { 'br-phy': 'eth0', 'br-ex': 'eth1' } as const

const { address, daemons }: Boot = JSON.parse(process.argv[2]!)
await ensureDaemons({ ...daemons, parts: ['openvswitch'] })
const vsctl = async (...args: string[]) => (await exec('ovs-vsctl', ['--timeout=10', ...args])).stdout.trim()
const datapath = (await vsctl('get', 'Open_vSwitch', '.', 'datapath_types')).includes('"system"') ? 'system' : 'netdev'
for (const [bridge, uplink] of Object.entries(UPLINKS)) {
  await vsctl('--may-exist', 'add-br', bridge, '--', 'set', 'bridge', bridge, `datapath_type=${datapath}`)
  await vsctl('--may-exist', 'add-port', bridge, uplink)
  await exec('ip', ['link', 'set', uplink, 'up'])
  await exec('ip', ['link', 'set', bridge, 'up'])
}
await exec('ip', ['address', 'replace', address, 'dev', 'br-phy'])
// The target's portal is that address, so it comes after it.
await ensureDaemons({ ...daemons, parts: ['libvirt', 'tgt'] })
