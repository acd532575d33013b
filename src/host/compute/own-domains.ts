import { METADATA_NAMESPACE } from '../../drivers/libvirt/domain-xml.ts'
import type { Domain, Libvirt } from '../../drivers/libvirt/driver.ts'
import type { Fault } from '../../kernel/errors/errors.ts'

/** The domains that Yun defined; the machine's libvirt may hold others, which are nobody's business here. */
export interface OwnDomains {
  list(): Promise<Domain[]>
  isOwn(domain: { uuid: string; name: string }): Promise<boolean>
  /** It was just defined here. */
  remember(uuid: string): void
  forget(uuid: string): void
}

const NAME = /^instance-[0-9a-f]{8,}$/

export function ownDomains(libvirt: Libvirt): OwnDomains {
  const known = new Map<string, boolean>()

  async function isOwn({ uuid, name }: { uuid: string; name: string }): Promise<boolean> {
    if (!NAME.test(name)) return false
    const before = known.get(uuid)
    if (before !== undefined) return before
    try {
      const own = (await libvirt.domainXml(uuid, { inactive: true })).includes(METADATA_NAMESPACE)
      known.set(uuid, own)
      return own
    } catch (error) {
      if ((error as Fault).code === 'NoDomain') return false
      throw error
    }
  }

  return {
    isOwn,
    async list() {
      const all = await libvirt.listDomains()
      const own = await Promise.all(all.map(isOwn))
      return all.filter((_, index) => own[index])
    },
    remember: (uuid) => void known.set(uuid, true),
    forget: (uuid) => void known.delete(uuid),
  }
}
