import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  COMPUTE_CONTROL,
  computeTopic,
  control,
  type FlavorSpec,
  type HostState,
  type ImageSpec,
  type InstanceSpec,
  host as messages,
  type Vif,
  type VolumeConnection,
} from '../../compute/rpc.ts'
import { simulatedGuestFiles } from '../../drivers/guest-files/simulated.ts'
import { simulatedIso } from '../../drivers/iso/simulated.ts'
import { type SimulatedLibvirt, simulatedLibvirt } from '../../drivers/libvirt/simulated.ts'
import { type SimulatedNetNs, simulatedNetNs } from '../../drivers/netns/simulated.ts'
import { type SimulatedOvs, simulatedOvs } from '../../drivers/ovs/simulated.ts'
import { encodeQcow2Header } from '../../drivers/qemu-img/formats/qcow2-header.ts'
import { simulatedQemuImg } from '../../drivers/qemu-img/simulated.ts'
import type { ImageDocument } from '../../image/client.ts'
import type { Bus, Message } from '../../kernel/bus/bus.ts'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { silent } from '../../kernel/log/log.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { type ComputeHost, createComputeHost } from './agent.ts'
import type { ComputeHostOptions, ComputeMachine } from './options.ts'

/** Servers, images, volumes and a host of twins for tests. */

export const IMAGE = 'd96b0e41-8264-41de-8dbb-6b31ce9bfbfc'
export const PICTURE = 'd96b0e41-8264-41de-8dbb-0000000000aa'
export const uuidOf = (n: number) => `73b896bb-7c7d-447e-ab6a-${n.toString(16).padStart(12, '0')}`

export const flavor = (over: Partial<FlavorSpec> = {}): FlavorSpec => ({
  id: '1',
  name: 'm1.tiny',
  vcpus: 1,
  ramMiB: 128,
  rootGiB: 1,
  ephemeralGiB: 0,
  swapMiB: 0,
  extraSpecs: {},
  ...over,
})

export const imageOf = (data: Uint8Array, over: Partial<ImageSpec> = {}): ImageSpec => ({
  id: IMAGE,
  name: 'cirros',
  diskFormat: 'qcow2',
  containerFormat: 'bare',
  sizeBytes: data.length,
  checksum: createHash('md5').update(data).digest('hex'),
  hashAlgorithm: 'sha512',
  hashValue: createHash('sha512').update(data).digest('hex'),
  minRamMiB: 0,
  minDiskGiB: 0,
  properties: {},
  ...over,
})

export const DATA = encodeQcow2Header({ virtualSizeBytes: 112 * MiB })

export const instance = (n = 1, over: Partial<InstanceSpec> = {}): InstanceSpec => ({
  uuid: uuidOf(n),
  number: n,
  domainName: `instance-${n.toString(16).padStart(8, '0')}`,
  displayName: `server-${n}`,
  hostname: `server-${n}`,
  projectId: 'p-1',
  userId: 'u-1',
  reservationId: 'r-1',
  launchIndex: 0,
  availabilityZone: 'nova',
  createdAt: '2026-01-01T00:00:00Z',
  flavor: flavor(),
  image: imageOf(DATA),
  keyPair: { name: 'key', publicKey: 'ssh-ed25519 AAAA me', type: 'ssh' },
  userData: Buffer.from('#!/bin/sh\necho hello\n').toString('base64'),
  metadata: { role: 'test' },
  tags: [],
  configDrive: false,
  files: [],
  adminPass: 'hunter2hunter2',
  securityGroups: ['default'],
  ...over,
})

/** Of 1 to 255. */
const hex = (n: number) => n.toString(16).padStart(2, '0')

export const vif = (n = 1, over: Partial<Vif> = {}): Vif => ({
  portId: `c51a34${hex(n)}-87a4-4b5c-8c2f-000000000001`,
  macAddress: `fa:16:3e:00:03:${hex(n)}`,
  network: { id: '11111111-aaaa-4bbb-8ccc-000000000001', label: 'private', mtu: 1450, projectId: 'p-1' },
  subnets: [
    {
      id: 's-1',
      cidr: '10.1.0.0/24',
      ipVersion: 4,
      gateway: '10.1.0.1',
      dns: ['10.1.0.2'],
      routes: [],
      dhcp: true,
      addresses: [`10.1.0.1${n}`],
    },
  ],
  vnicType: 'normal',
  vifType: 'ovs',
  details: { ovsHybridPlug: true, portFilter: true, bridgeName: 'br-int', datapathType: 'netdev' },
  deviceName: `tapc51a34${hex(n)}-87`,
  active: false,
  ...over,
})

export const connection = (n = 1, over: Partial<VolumeConnection> = {}): VolumeConnection => ({
  volumeId: `6e1f0a0e-0000-4000-8000-${n.toString(16).padStart(12, '0')}`,
  attachmentId: `a77ac400-0000-4000-8000-${n.toString(16).padStart(12, '0')}`,
  driver: 'iscsi',
  portal: '127.0.0.1:3260',
  iqn: `iqn.2010-10.org.openstack:volume-${n}`,
  lun: 1,
  auth: { username: 'chap', password: 'not-to-be-seen' },
  sizeGiB: 1,
  readOnly: false,
  qos: null,
  device: '/dev/vdb',
  bootIndex: null,
  ...over,
})

/** The image service as a host sees it. */
export class FakeImages {
  readonly data = new Map<string, Uint8Array>([[IMAGE, DATA]])
  readonly uploaded = new Map<string, Buffer>()
  downloads = 0

  async image(id: string): Promise<ImageDocument> {
    const size = this.uploaded.get(id)?.length ?? null
    return { id, status: size === null ? 'queued' : 'active', size } as ImageDocument
  }

  async download(id: string): Promise<Readable> {
    this.downloads++
    return Readable.from([Buffer.from(this.data.get(id) ?? '')])
  }

  async upload(id: string, data: Readable | Uint8Array): Promise<void> {
    this.uploaded.set(id, Buffer.concat(data instanceof Uint8Array ? [data] : await Array.fromAsync(data as AsyncIterable<Buffer>)))
  }
}

export interface Lab {
  directory: string
  bus: Bus
  images: FakeImages
  host: ComputeHost
  libvirt: SimulatedLibvirt
  netns: SimulatedNetNs
  ovs: SimulatedOvs
  reports: HostState[]
  powers: { uuid: string; powerState: string; event: string }[]
  tell<In, Out>(message: Message<In, Out>, payload: In): Promise<Out>
  /** Another process takes over the same machine. */
  restart(): Promise<void>
}

/** A host of twins with its agent, and control beside it. */
export async function onHost(
  body: (lab: Lab) => Promise<void>,
  over: Partial<Omit<ComputeHostOptions, 'machine'> & { machine: Partial<ComputeMachine> }> = {},
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'compute-host-'))
  const netns = simulatedNetNs()
  const ovs = simulatedOvs({ netns, datapathTypes: ['netdev'] })
  await ovs.ensureBridge('br-int', { datapathType: 'netdev' })
  const libvirt = simulatedLibvirt({
    network: { addTap: (name) => netns.addLink(name, 'tun'), removeTap: (name) => netns.dropLink(name) },
  })
  const images = new FakeImages()
  const bus = new MemoryBus((error) => assert.fail(String(error)))
  const reports: HostState[] = []
  const powers: Lab['powers'] = []
  bus.serve(COMPUTE_CONTROL, control.hostReport, (state) => void reports.push(state))
  bus.serve(COMPUTE_CONTROL, control.departed, () => [])
  bus.serve(COMPUTE_CONTROL, control.powerChanged, ({ uuid, powerState, event }) => void powers.push({ uuid, powerState, event }))
  const make = () =>
    createComputeHost({
      bus,
      log: silent(),
      host: 'one',
      hostIp: '192.0.2.1',
      directory,
      images,
      simulated: true,
      kvm: { works: false, reason: 'simulated' },
      capacity: { vcpus: 4, memoryMiB: 4096, diskGiB: 40 },
      ...over,
      machine: {
        libvirt,
        qemuImg: simulatedQemuImg(),
        iso: simulatedIso(),
        guestFiles: simulatedGuestFiles(),
        ovs,
        netns,
        ...over.machine,
      },
    })
  const lab: Lab = {
    directory,
    bus,
    images,
    host: make(),
    libvirt,
    netns,
    ovs,
    reports,
    powers,
    tell: (message, payload) => bus.call(computeTopic('one'), message, payload),
    async restart() {
      await lab.host.stop()
      lab.host = make()
      await lab.host.start()
    },
  }
  await lab.host.start()
  try {
    await body(lab)
  } finally {
    await lab.host.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

export interface Built {
  spec?: InstanceSpec
  vifs?: Vif[]
  volumes?: VolumeConnection[]
  /** Each message so often. */
  times?: number
}

type Tell = Lab['tell']

/** Steps 16 to 37 as the saga sends them. */
export async function build(tell: Tell, { spec = instance(), vifs = [vif()], volumes = [], times = 1 }: Built = {}) {
  const repeated = async <In, Out>(message: Message<In, Out>, payload: In): Promise<Out> => {
    let answer = await tell(message, payload)
    for (let again = 1; again < times; again++) answer = await tell(message, payload)
    return answer
  }
  const { uuid } = spec
  const received = await repeated(messages.receive, { instance: spec })
  const claimed = await repeated(messages.claim, { uuid, flavor: spec.flavor, imageBacked: spec.image !== null })
  const directory = await repeated(messages.prepareDirectory, { uuid })
  const base = spec.image ? await repeated(messages.fetchBase, { image: spec.image }) : null
  const overlay = base ? await repeated(messages.createOverlay, { uuid, basePath: base.path, baseFormat: base.format }) : null
  const resized = overlay ? await repeated(messages.resizeDisk, { uuid, rootGiB: spec.flavor.rootGiB }) : null
  const drive = await repeated(messages.buildConfigDrive, { instance: spec, vifs })
  const injected = await repeated(messages.injectFiles, { instance: spec, vifs })
  const { xml } = await repeated(messages.makeXml, { instance: spec, vifs, volumes })
  const defined = await repeated(messages.define, { uuid, xml })
  for (const message of [messages.createBridge, messages.createVeth, messages.joinBridge, messages.joinIntegration])
    for (const each of vifs) await repeated(message as typeof messages.createBridge, { uuid, vif: each, flavor: spec.flavor })
  const started = await repeated(messages.start, { uuid })
  return { received, claimed, directory, base, overlay, resized, drive, injected, xml, defined, started }
}

/** The undos, in the order in which a saga unwinds; however far the build came. */
export async function unwind(tell: Tell, { spec = instance(), vifs = [vif()], times = 1 }: Built = {}): Promise<void> {
  const { uuid } = spec
  for (let again = 0; again < times; again++) {
    await tell(messages.destroy, { uuid })
    await tell(messages.unplug, { vifs })
    await tell(messages.undefine, { uuid })
    await tell(messages.removeConfigDrive, { uuid })
    await tell(messages.removeDisk, { uuid })
    await tell(messages.removeDirectory, { uuid })
    await tell(messages.unclaim, { uuid })
  }
}

export const gib = (bytes: number) => bytes / GiB
