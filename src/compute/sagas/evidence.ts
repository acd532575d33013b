import { showBytes } from '../../kernel/units/units.ts'
import type { Vif } from '../rpc.ts'

/** What the user is shown of each step, from what it recorded. */
const says_ =
  (words: (out: any) => string, more: (out: any) => object = (out) => out ?? {}) =>
  (out: any) => ({ ...more(out), text: words(out) })

const of = (words: (out: any) => string, more?: (out: any) => object) => ({ evidence: says_(words, more) })
const nothing = () => ({})
const VOLUME = 'boots from a volume'

export const says = {
  filterProperties: of((out) =>
    [
      out.zone ? `zone ${out.zone}` : 'any zone',
      out.forcedHost ? `host ${out.forcedHost}` : null,
      Object.keys(out.hints).length > 0 ? `hints ${Object.keys(out.hints).join(', ')}` : 'no hints',
      out.ignoreHosts.length > 0 ? `not ${out.ignoreHosts.join(', ')}` : null,
    ]
      .filter(Boolean)
      .join(', '),
  ),
  called: of((out) => `${out.topic}, process ${out.process}`),
  spec: of(({ spec }) => {
    const wanted = Object.entries(spec.resources).map(([name, amount]) => `${name} ${amount}`)
    return `${wanted.join(', ')}; ${spec.image ? `image ${spec.image.name} (${spec.image.diskFormat})` : VOLUME}`
  }),
  hostStates: of(
    (out) =>
      `${out.hosts} host${out.hosts === 1 ? '' : 's'}${out.looked < out.hosts ? `, ${out.looked} drawn` : ''}, ${out.up} up, ${out.fitting} with room in placement`,
  ),
  filters: of(
    (out) => {
      const rounds = out.rounds.map((one: any) => `${one.filter.replace(/Filter$/, '')} ${one.before}>${one.after}`)
      return `${out.left.length} of ${out.total} left: ${rounds.join(', ')}`
    },
    ({ total, rounds }) => ({ total, rounds }),
  ),
  weights: of(({ ranked }) => {
    const best = ranked.slice(0, 3).map((one: any) => `${one.host} ${one.weight}`)
    return ranked.length === 1 ? `${ranked[0].host} alone` : best.join(', ')
  }),
  selected: of(
    (out) => `${out.host}, in placement's books${out.alternates.length > 0 ? `; else ${out.alternates.slice(0, 3).join(', ')}` : ''}`,
  ),
  received: of((out) => `compute.${out.host}, ${out.hypervisor}`),
  claim: of((out) => `${out.vcpus} vCPU, ${out.memoryMiB} MiB, ${out.diskGiB} GiB; ${out.free.memoryMiB} MiB left`),
  ports: of((out) =>
    out.ports.length === 0 ? 'no network asked for' : `${out.ports.length} port${out.ports.length === 1 ? '' : 's'} of the network service`,
  ),
  networkInfo: of(
    ({ vifs }) => vifs.map(vifText).join('; ') || 'no network asked for',
    ({ vifs }) => ({ ports: vifs.map((vif: Vif) => vif.portId) }),
  ),
  spawn: of((out) => `${out.domainName} on ${out.host}`),
  path: of((out) => out.path),
  base: of((out) => (out ? `${out.cached ? 'in the cache' : 'downloaded'}, ${showBytes(out.bytes)}, ${out.format}` : VOLUME)),
  overlay: of((out) => (out ? `disk over ${out.backingFile}` : VOLUME)),
  size: of((out) => (out ? `${showBytes(out.virtualSizeBytes)}${out.grown ? ', grown' : ''}` : VOLUME)),
  configDrive: of((out) => (out.path ? `${showBytes(out.bytes)}, config-2` : 'not asked for')),
  injected: of((out) => (out.files.length > 0 ? `${out.files.join(', ')} by ${out.by}` : 'no files asked for')),
  xml: of(
    (out) => `${out.xml.length} bytes`,
    (out) => ({ xml: out.xml.replace(/(passwd|password)='[^']*'/g, "$1='***'") }),
  ),
  defined: of((out) => out.domainName),
  bridges: of((out) => out.map((one: any) => one.bridge).join(', ') || 'no port', nothing),
  pairs: of((out) => out.map((one: any) => `${one.qvb} - ${one.qvo}, MTU ${one.mtu}`).join('; ') || 'no port', nothing),
  joined: of((out) => out.map((one: any) => `${one.port} in ${one.bridge}`).join('; ') || 'no port', nothing),
  started: of(startedText),
  startedOrNot: of((out) => (out ? startedText(out) : 'stopped, as it was')),
}

function startedText(out: { powerState: string; domainId: number; vncPort: number | null }): string {
  return `${out.powerState}, domain ${out.domainId}${out.vncPort ? `, VNC on ${out.vncPort}` : ''}`
}

function vifText(vif: Vif): string {
  const addresses = vif.subnets.flatMap((subnet) => subnet.addresses.map((address) => `${address}/${subnet.cidr.split('/')[1]}`))
  return `${addresses.join(', ') || 'no address'} on ${vif.network.label}, MTU ${vif.network.mtu}`
}
