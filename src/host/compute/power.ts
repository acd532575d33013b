import type { PowerState } from '../../compute/rpc.ts'
import type { Libvirt } from '../../drivers/libvirt/driver.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import { conflict } from '../../kernel/errors/errors.ts'
import { destroy, start } from './domain.ts'
import { domainOf, isActive, powerOf, unless } from './power-states.ts'
import type { World } from './world.ts'

/** Guests overlook the button while they boot: it is pressed again after so many ms. */
const PRESS_AGAIN_MS = 10_000
/** ms that a guest gets to shut down before a soft reboot becomes a hard one; below the time that control waits for an answer. */
const REBOOT_PATIENCE_MS = 60_000

/** Presses the power button, and pulls the plug when the guest has not ended in time. */
export async function stop(world: World, { uuid, timeoutMs }: { uuid: string; timeoutMs: number }): Promise<{ clean: boolean }> {
  const { libvirt } = world.machine
  const domain = await domainOf(libvirt, uuid)
  if (!domain || !isActive(domain)) return { clean: true }
  if (timeoutMs > 0 && domain.state !== 'paused' && (await shutDown(libvirt, uuid, timeoutMs))) return { clean: true }
  await destroy(world, uuid)
  return { clean: false }
}

async function shutDown(libvirt: Libvirt, uuid: string, timeoutMs: number): Promise<boolean> {
  const off = Promise.withResolvers<void>()
  const unlisten = libvirt.onEvent((event) => {
    if (event.kind === 'lifecycle' && event.uuid === uuid && event.event === 'stopped') off.resolve()
  })
  const end = performance.now() + timeoutMs
  try {
    for (;;) {
      const left = end - performance.now()
      if (left <= 0) return false
      await unless(['NoDomain', 'DomainState'], libvirt.shutdownDomain(uuid))
      const heard = await within(off.promise, Math.min(left, PRESS_AGAIN_MS))
      if (heard || !(await isOn(libvirt, uuid))) return true
    }
  } finally {
    unlisten()
  }
}

async function isOn(libvirt: Libvirt, uuid: string): Promise<boolean> {
  const domain = await domainOf(libvirt, uuid)
  return domain !== undefined && isActive(domain)
}

async function within(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  const done = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return done
}

/** Soft: the guest shuts down by itself if it will; either way it boots again from what is defined now. */
export async function reboot(world: World, { uuid, hard }: { uuid: string; hard: boolean }): Promise<{ powerState: PowerState }> {
  if (hard) await destroy(world, uuid)
  else await stop(world, { uuid, timeoutMs: REBOOT_PATIENCE_MS })
  return { powerState: (await start(world, uuid)).answer.powerState }
}

export async function pause({ machine: { libvirt } }: World, uuid: string): Promise<void> {
  const { state } = await libvirt.domainByUuid(uuid)
  if (state !== 'paused') await libvirt.suspendDomain(uuid)
}

export async function unpause({ machine: { libvirt } }: World, uuid: string): Promise<void> {
  const { state } = await libvirt.domainByUuid(uuid)
  if (state !== 'running') await libvirt.resumeDomain(uuid)
}

export async function injectNmi({ machine: { libvirt } }: World, uuid: string): Promise<void> {
  await libvirt.monitorCommand(uuid, { execute: 'inject-nmi' })
}

/** Its memory goes to the disk. */
export async function suspend({ machine: { libvirt } }: World, uuid: string): Promise<void> {
  const domain = await libvirt.domainByUuid(uuid)
  if ((await powerOf(libvirt, domain)) !== 'suspended') await libvirt.saveDomain(uuid)
}

export async function resume(world: World, uuid: string): Promise<void> {
  const { libvirt } = world.machine
  if ((await libvirt.domainByUuid(uuid)).state === 'paused') await libvirt.resumeDomain(uuid)
  else await start(world, uuid)
}

/** The password is in no message, log or command. */
export async function setPassword({ machine: { libvirt } }: World, { uuid, password }: { uuid: string; password: string }): Promise<void> {
  try {
    await libvirt.setUserPassword(uuid, 'root', password)
  } catch (error) {
    if (!['Unsupported', 'AgentUnresponsive', 'InvalidArgument'].includes((error as Fault).code)) throw error
    throw conflict(
      `The password of server ${uuid} can only be set by the QEMU guest agent inside it. Boot it from an image with hw_qemu_guest_agent=yes in which the agent runs.`,
      'AgentUnresponsive',
    )
  }
}
