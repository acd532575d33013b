import pack from '../../../package.json' with { type: 'json' }
import type { InstanceSpec, Vif, VolumeConnection } from '../../compute/rpc.ts'
import { type DomainDescription, domainXml } from '../../drivers/libvirt/domain-xml.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { ensureBlankDisks } from './blank-disks.ts'
import { disksOf, interfaceOf } from './device-descriptions.ts'
import { cpuTuneOf } from './flavor-limits.ts'
import { ensureSecret } from './volume-secrets.ts'
import type { World } from './world.ts'

export interface Wanted {
  instance: InstanceSpec
  vifs: Vif[]
  volumes: VolumeConnection[]
  rescue?: boolean
}

export const VERSION = pack.version

/** Step 31. What the XML names is there when it is defined: the secrets of volumes, the flavor's blank disks. */
export async function makeXml(world: World, wanted: Wanted): Promise<{ xml: string }> {
  const { instance, volumes } = wanted
  const description = await describe(world, wanted)
  await ensureBlankDisks(world, instance)
  for (const connection of volumes) await ensureSecret(world.machine.libvirt, instance.uuid, connection)
  return { xml: domainXml(description) }
}

async function describe(world: World, { instance, vifs, volumes, rescue = false }: Wanted): Promise<DomainDescription> {
  const { options, facts, places } = world
  const { uuid, flavor } = instance
  const properties = instance.image?.properties ?? {}
  const { arch, vhost } = await facts.get()
  const model = properties.hw_vif_model ?? 'virtio'
  return {
    type: options.kvm.works ? 'kvm' : 'qemu',
    name: instance.domainName,
    uuid,
    memoryMiB: flavor.ramMiB,
    vcpus: flavor.vcpus,
    metadata: {
      version: VERSION,
      displayName: instance.displayName,
      hostname: instance.hostname,
      createdAt: instance.createdAt,
      flavor: {
        name: flavor.name,
        memoryMiB: flavor.ramMiB,
        vcpus: flavor.vcpus,
        rootGiB: flavor.rootGiB,
        ephemeralGiB: flavor.ephemeralGiB,
        swapMiB: flavor.swapMiB,
      },
      projectId: instance.projectId,
      userId: instance.userId,
      imageId: instance.image?.id ?? null,
      ports: vifs.map((vif) => ({ id: vif.portId, addresses: vif.subnets.flatMap((subnet) => subnet.addresses) })),
    },
    cpuTune: cpuTuneOf(flavor),
    system: { manufacturer: 'OpenStack Foundation', product: 'OpenStack Nova', version: VERSION, serial: uuid },
    os: { arch, machine: properties.hw_machine_type ?? null, boot: ['hd'] },
    // without KVM the processor is QEMU's own
    cpu: options.kvm.works ? { mode: 'host-model' } : null,
    topology: { sockets: flavor.vcpus, cores: 1, threads: 1 },
    disks: await disksOf(world, instance, volumes, rescue),
    interfaces: vifs.map((vif) => interfaceOf(vif, model, vhost)),
    consoleLog: places.consoleLog(uuid),
    vnc: { listen: options.vncAddress ?? '127.0.0.1', keymap: 'en-us' },
    video: { model: properties.hw_video_model ?? 'cirrus' },
    tablet: true,
    rng: { source: '/dev/urandom' },
    guestAgent: properties.hw_qemu_guest_agent === 'yes',
    watchdog: watchdogOf(properties.hw_watchdog_action ?? flavor.extraSpecs['hw:watchdog_action']),
    balloonPeriod: 10,
  }
}

const WATCHDOG = ['reset', 'poweroff', 'pause', 'none'] as const

function watchdogOf(action: string | undefined): DomainDescription['watchdog'] {
  if (action === undefined || action === 'disabled') return undefined
  const known = WATCHDOG.find((each) => each === action)
  if (!known) throw badRequest(`The watchdog's action is ${JSON.stringify(action)}; known are ${WATCHDOG.join(', ')}.`, 'BadImage')
  return known
}
