import { readFile } from 'node:fs/promises'
import { find, first } from '../../drivers/libvirt/xml.ts'
import { now, record } from '../../kernel/trace/trace.ts'
import { LIMIT_IDS } from '../network/names.ts'
import type { Started } from './domain.ts'
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
export async function tellShare({ machine: { ovs }, options }: World, { domain, root }: Started): Promise<void> {
  const startedAt = now()
  const { uuid } = domain
  const limits = find(root, 'devices', 'disk', 'iotune').length
  const held = options.simulated ? null : await weightOf(domain.id, domain.name)
  const shares = first(root, 'cputune', 'shares')?.text
  const memory = Math.round(Number(first(root, 'currentMemory')?.text ?? 0) / 1024)
  const words = [
    held ? `${held.file.split('/').at(-1)} ${held.value}` : shares ? `CPU shares ${shares}` : 'no CPU limit',
    `${memory} MiB with a balloon`,
    limits > 0 ? `${limits} disk${limits === 1 ? '' : 's'} limited` : 'disk as it comes',
    ...(await cardsInWords(ovs, uuid)),
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

/** What the network's agent holds each limited card to. */
async function cardsInWords(ovs: World['machine']['ovs'], uuid: string): Promise<string[]> {
  const own = (await ovs.ports()).filter(({ externalIds }) => externalIds['vm-uuid'] === uuid)
  return own.flatMap(({ name, externalIds }) => {
    const [to, from] = [externalIds[LIMIT_IDS.ingress], externalIds[LIMIT_IDS.egress]]
    const words = [...(to ? [`${to} kbit/s to the guest`] : []), ...(from ? [`${from} kbit/s from it`] : [])]
    return words.length > 0 ? [`${name} ${words.join(', ')}`] : []
  })
}

async function weightOf(id: number, name: string): Promise<{ file: string; value: string } | null> {
  for (const file of WEIGHTS.map((of) => of(id, name))) {
    const value = await readFile(file, 'utf8').catch(() => null)
    if (value !== null) return { file, value: value.trim() }
  }
  return null
}
