import { constants } from 'node:fs'
import { access, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { GiB } from '../../kernel/units/units.ts'
import type { ComputeHostOptions } from './options.ts'

/** What does not change while this process runs. */
export interface HostFacts {
  hypervisorVersion: number
  arch: string
  supportedInstances: [arch: string, hypervisor: string, mode: string][]
  cpuModel: string
  cpuFeatures: string[]
  vcpus: number
  memoryMiB: number
  /** Whether the file system takes writes that pass by the page cache. */
  directIo: boolean
  vhost: boolean
}

export interface Facts {
  get(): Promise<HostFacts>
  disk(): Promise<{ diskGiB: number; freeDiskGiB: number }>
}

/** Asked of the machine once, when they are first needed; a machine that does not answer is asked again. */
export function factsOf(options: ComputeHostOptions): Facts {
  let known: Promise<HostFacts> | undefined
  return {
    get() {
      known ??= ask(options).catch((error) => {
        known = undefined
        throw error
      })
      return known
    },
    async disk() {
      const { capacity, simulated, directory } = options
      if (capacity && simulated) return { diskGiB: capacity.diskGiB, freeDiskGiB: capacity.diskGiB }
      const { blocks, bavail, bsize } = await statfs(directory)
      return { diskGiB: capacity?.diskGiB ?? Math.floor((blocks * bsize) / GiB), freeDiskGiB: Math.floor((bavail * bsize) / GiB) }
    },
  }
}

async function ask({ machine, capacity, kvm, simulated, directory }: ComputeHostOptions): Promise<HostFacts> {
  const [version, node, capabilities] = await Promise.all([
    machine.libvirt.version(),
    machine.libvirt.nodeInfo(),
    machine.libvirt.capabilities(),
  ])
  const root = parseXml(capabilities)
  const cpu = first(root, 'host', 'cpu')
  return {
    hypervisorVersion: version.hypervisor,
    arch: node.model,
    supportedInstances: find(root, 'guest').flatMap((guest) =>
      find(guest, 'arch').flatMap((arch) =>
        find(arch, 'domain')
          .map((domain) => domain.attributes.type ?? 'qemu')
          .filter((type) => type !== 'kvm' || kvm.works)
          .map((type): [string, string, string] => [arch.attributes.name ?? node.model, type, first(guest, 'os_type')?.text ?? 'hvm']),
      ),
    ),
    cpuModel: first(cpu, 'model')?.text ?? 'unknown',
    cpuFeatures: find(cpu, 'feature').map((feature) => feature.attributes.name ?? ''),
    vcpus: capacity?.vcpus ?? node.cpus,
    memoryMiB: capacity?.memoryMiB ?? node.memoryMiB,
    directIo: simulated || (await takesDirectIo(directory)),
    vhost:
      kvm.works &&
      !simulated &&
      (await access('/dev/vhost-net').then(
        () => true,
        () => false,
      )),
  }
}

async function takesDirectIo(directory: string): Promise<boolean> {
  const path = join(directory, '.direct-io')
  try {
    await (await open(path, constants.O_CREAT | constants.O_WRONLY | constants.O_DIRECT)).close()
    return true
  } catch {
    return false // tmpfs, for one
  } finally {
    await rm(path, { force: true })
  }
}
