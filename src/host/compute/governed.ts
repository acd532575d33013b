import { readFile } from 'node:fs/promises'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { now, record } from '../../kernel/trace/trace.ts'
import type { World } from './world.ts'

/** Where control groups hold a machine's weight: version 1, version 2 without a service manager, version 2 under systemd. */
const WEIGHTS = [
  (id: number, name: string) => `/sys/fs/cgroup/cpu/machine/qemu-${id}-${name}.libvirt-qemu/cpu.shares`,
  (id: number, name: string) => `/sys/fs/cgroup/cpu,cpuacct/machine/qemu-${id}-${name}.libvirt-qemu/cpu.shares`,
  (id: number, name: string) => `/sys/fs/cgroup/machine/qemu-${id}-${name}.libvirt-qemu/cpu.weight`,
  (id: number, name: string) =>
    `/sys/fs/cgroup/machine.slice/machine-qemu\\x2d${id}\\x2d${name.replaceAll('-', '\\x2d')}.scope/libvirt/cpu.weight`,
]

/** Step 43: which share of this host the guest has, as the kernel holds it where it can be read, else as the domain says. */
export async function tellShare({ machine: { libvirt }, options }: World, uuid: string): Promise<void> {
  const startedAt = now()
  const domain = await libvirt.domainByUuid(uuid)
  const root = parseXml(await libvirt.domainXml(uuid))
  const limits = find(root, 'devices', 'disk', 'iotune').length
  const held = options.simulated ? null : await weightOf(domain.id, domain.name)
  const shares = first(root, 'cputune', 'shares')?.text
  const memory = Math.round(Number(first(root, 'currentMemory')?.text ?? 0) / 1024)
  const words = [
    held ? `${held.file.split('/').at(-1)} ${held.value}` : shares ? `CPU shares ${shares}` : 'no CPU limit',
    `${memory} MiB with a balloon`,
    limits > 0 ? `${limits} disk${limits === 1 ? '' : 's'} limited` : 'disk as it comes',
  ]
  record({
    subject: `server:${uuid}`,
    step: 43,
    name: 'governed',
    service: 'compute/host',
    startedAt,
    ms: now() - startedAt,
    outcome: 'done',
    evidence: { text: words.join(', '), ...(held ?? {}) },
  })
}

async function weightOf(id: number, name: string): Promise<{ file: string; value: string } | null> {
  for (const file of WEIGHTS.map((of) => of(id, name))) {
    const value = await readFile(file, 'utf8').catch(() => null)
    if (value !== null) return { file, value: value.trim() }
  }
  return null
}
