import type { GuestFiles } from '../../drivers/guest-files/driver.ts'
import type { Iso } from '../../drivers/iso/driver.ts'
import type { Libvirt } from '../../drivers/libvirt/driver.ts'
import type { NetNs } from '../../drivers/netns/driver.ts'
import type { Ovs } from '../../drivers/ovs/driver.ts'
import type { QemuImg } from '../../drivers/qemu-img/driver.ts'
import type { ImageClient } from '../../image/client.ts'
import type { Bus } from '../../kernel/bus/bus.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { Injection } from './injection.ts'

/** What the agent works on: the real things of this machine, or their twins. */
export interface ComputeMachine {
  libvirt: Libvirt
  qemuImg: QemuImg
  iso: Iso
  guestFiles: GuestFiles
  ovs: Ovs
  netns: NetNs
}

export interface ComputeHostOptions {
  bus: Bus
  log: Log
  /** This host's name. */
  host: string
  hostIp: string
  /** Instances live in `<directory>/<uuid>`, base images in `<directory>/_base`. */
  directory: string
  machine: ComputeMachine
  images: Pick<ImageClient, 'image' | 'download' | 'upload'>
  simulated: boolean
  kvm: { works: boolean; reason: string | null }
  /** What is put into the disks of new guests (default: nothing). */
  injection?: Injection
  /** Of simulated hosts; others are asked. */
  capacity?: { vcpus: number; memoryMiB: number; diskGiB: number }
  /** MiB that guests never get (default 512). */
  reservedMemoryMiB?: number
  /** Where the guests' screens listen (default 127.0.0.1). */
  vncAddress?: string
  /** ms between reports that nothing woke (default 30 000). */
  reportEveryMs?: number
}
