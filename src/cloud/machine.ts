import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { adopt, createIsolation } from '../host/machine/isolation.ts'
import type { Settings } from './settings.ts'

/** Names the state directory whose guests, bridges and namespaces are this machine's own. Gone after a reboot, as they are. */
const CLAIM = '/run/yun/machine'

export interface Machine {
  /** argv put before a program to run it where the guests and networks are; empty on the machine itself. */
  enter: string[]
  notice: string | null
}

/**
 * Where the host side of this cloud lives. The first real cloud has the machine itself: its libvirt, its Open vSwitch, br-int and br-ex. A further one on
 * another state directory gets a machine of its own inside this one, so that their bridges, domains and addresses do not meet.
 */
export async function machineFor(settings: Settings): Promise<Machine> {
  mkdirSync(settings.stateDir, { recursive: true, mode: 0o711 })
  if (settings.hypervisor === 'simulated') return { enter: [], notice: null }
  const holder = claimed()
  if (holder === null) {
    mkdirSync('/run/yun', { recursive: true })
    writeFileSync(CLAIM, settings.stateDir)
    return { enter: [], notice: null }
  }
  if (holder === settings.stateDir) return { enter: [], notice: null }
  const { name, dir } = isolationOf(settings.stateDir)
  const isolation = adopt(name, dir) ?? (await createIsolation({ name, dir, hostname: settings.hostname }))
  return {
    enter: isolation.enter,
    notice: `${holder} has this machine's libvirt and Open vSwitch; this cloud gets a machine of its own inside it (${name})`,
  }
}

export const isolationOf = (stateDir: string) => ({
  name: `yun-${createHash('sha256').update(stateDir).digest('hex').slice(0, 8)}`,
  dir: join(stateDir, 'machine'),
})

function claimed(): string | null {
  try {
    const holder = readFileSync(CLAIM, 'utf8').trim()
    return existsSync(join(holder, 'secrets.json')) ? holder : null
  } catch {
    return null
  }
}
