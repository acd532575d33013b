import { type Element, element, find, first } from './xml.ts'

/** What the twin's host says of itself. */
export const HOST_XML = `<capabilities>
  <host>
    <cpu>
      <arch>x86_64</arch>
      <model>qemu64</model>
      <vendor>AMD</vendor>
      <feature name='svm'/>
    </cpu>
  </host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='x86_64'>
      <wordsize>64</wordsize>
      <emulator>/usr/bin/qemu-system-x86_64</emulator>
      <machine maxCpus='255'>pc-i440fx-7.2</machine>
      <domain type='qemu'/>
    </arch>
  </guest>
</capabilities>
`

export const machineXml = (type: string, arch: string, machine: string) => `<domainCapabilities>
  <path>/usr/bin/qemu-system-${arch}</path>
  <domain>${type}</domain>
  <machine>${machine}</machine>
  <arch>${arch}</arch>
  <vcpu max='255'/>
</domainCapabilities>
`

/** One grey pixel. */
export const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=='

export const cloneOf = (from: Element): Element => ({ ...from, attributes: { ...from.attributes }, children: from.children.map(cloneOf) })

/** What tells one device from another of its kind. */
export function deviceKey(device: Element): string {
  const mac = first(device, 'mac')?.attributes.address
  if (device.name === 'interface' && mac) return `interface ${mac.toLowerCase()}`
  return `${device.name} ${first(device, 'target')?.attributes.dev ?? first(device, 'alias')?.attributes.name ?? ''}`
}

const ALIAS: Record<string, (device: Element, number: number) => string> = {
  disk: (device) => `${first(device, 'target')?.attributes.bus ?? 'virtio'}-disk-${first(device, 'target')?.attributes.dev}`,
  interface: (_, number) => `net${number}`,
  serial: (_, number) => `serial${number}`,
  console: (_, number) => `serial${number}`,
}

/** What a guest says on its serial port as it comes up. */
export const bootMessages = (name: string): string =>
  ['a simulated guest', 'its firmware finds a disk', 'its kernel finds a root', 'it is up; nothing more is printed here']
    .map((line) => `${name}: ${line}\n`)
    .join('')

/** Makes a definition the domain as it runs: with the aliases, ports and devices that starting it gives. What has them keeps them. */
export function bootDevices(live: Element, id: number): Element {
  live.attributes.id = String(id)
  for (const graphics of find(live, 'devices', 'graphics'))
    if (graphics.attributes.port === '-1') graphics.attributes.port = String(5900 + id)
  for (const name of ['serial', 'console'])
    for (const device of find(live, 'devices', name))
      if (device.attributes.type === 'pty' && !first(device, 'source'))
        device.children.unshift(element('source', { path: `/dev/pts/simulated-${id}` }))
  for (const card of find(live, 'devices', 'interface'))
    if (!first(card, 'target'))
      card.children.push(element('target', { dev: `vnet${id}-${first(card, 'mac')?.attributes.address?.replaceAll(':', '').slice(-6)}` }))
  for (const [name, alias] of Object.entries(ALIAS))
    find(live, 'devices', name).forEach((device, number) => {
      if (!first(device, 'alias')) device.children.push(element('alias', { name: alias(device, number) }))
    })
  return live
}
