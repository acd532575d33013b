import { randomUUID } from 'node:crypto'
import type { Libvirt } from './driver.ts'
import { libvirtError, libvirtFault } from './errors.ts'
import type { SimulatedWorld } from './simulated-world.ts'
import { first, parseXml } from './xml.ts'

type Secrets = Pick<Libvirt, 'defineSecret' | 'setSecretValue' | 'undefineSecret' | 'secretByUsage' | 'listSecrets'>

/** The twin's calls about secrets. */
export function simulatedSecrets({ state, change, look }: SimulatedWorld): Secrets {
  function secretOf(uuid: string) {
    const secret = state.secrets[uuid]
    if (!secret)
      throw libvirtFault(libvirtError.noSecret, `Secret not found: no secret with matching uuid '${uuid}'`, `secret-lookup ${uuid}`)
    return secret
  }

  return {
    defineSecret: (xml) =>
      change('defineSecret', 'secret-define', () => {
        const root = parseXml(xml)
        const uuid = first(root, 'uuid')?.text ?? randomUUID()
        const usage = first(root, 'usage')
        const usageId = first(usage, 'target')?.text ?? first(usage, 'name')?.text ?? first(usage, 'volume')?.text ?? ''
        if (Object.values(state.secrets).some((each) => each.usageId === usageId && each.uuid !== uuid))
          throw libvirtFault(libvirtError.internal, `a secret is already defined for use with ${usageId}`, 'secret-define')
        state.secrets[uuid] = { uuid, usage: usage?.attributes.type ?? 'none', usageId, value: state.secrets[uuid]?.value ?? null }
        return uuid
      }),
    setSecretValue: (uuid, value) =>
      change('setSecretValue', `secret-set-value ${uuid} ***`, () => {
        secretOf(uuid).value = Buffer.from(value).toString('base64')
      }),
    undefineSecret: (uuid) =>
      change('undefineSecret', `secret-undefine ${uuid}`, () => {
        secretOf(uuid)
        delete state.secrets[uuid]
      }),
    secretByUsage: (usage, usageId) =>
      look('secretByUsage', () => {
        const found = Object.values(state.secrets).find((each) => each.usage === usage && each.usageId === usageId)
        if (!found)
          throw libvirtFault(libvirtError.noSecret, `Secret not found: no secret for ${usageId}`, `secret-lookup ${usage} ${usageId}`)
        return { uuid: found.uuid, usage: found.usage, usageId }
      }),
    listSecrets: () =>
      look('listSecrets', () => Object.values(state.secrets).map(({ uuid, usage, usageId }) => ({ uuid, usage, usageId }))),
  }
}
