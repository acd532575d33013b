import type { InstanceSpec } from '../../compute/rpc.ts'
import type { World } from './world.ts'

/** Step 16. A host whose libvirt is away says so here, before anything is made: control goes to another one. */
export async function receive({ options, facts, machine, places }: World, { instance }: { instance: InstanceSpec }) {
  places.instance(instance.uuid)
  const { hypervisorVersion } = await facts.get()
  await machine.libvirt.hostname()
  const version = [Math.floor(hypervisorVersion / 1_000_000), Math.floor(hypervisorVersion / 1000) % 1000, hypervisorVersion % 1000]
  return {
    host: options.host,
    hypervisor: `QEMU ${version.join('.')}, ${options.kvm.works ? 'KVM' : 'emulated'}`,
    receivedAt: new Date().toISOString(),
  }
}
