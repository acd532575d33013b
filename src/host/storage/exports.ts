import type { Target, TargetDriver } from '../../drivers/tgt/driver.ts'
import type { Hold, VolumeBackend } from '../../drivers/volume-backend/driver.ts'
import { locks } from '../../kernel/locks/locks.ts'
import type { Export, WantedExport } from '../../volume/rpc.ts'

const PREFIX = 'iqn.2010-10.org.openstack:volume-'

export const iqnOf = (volumeId: string) => `${PREFIX}${volumeId}`
const volumeOf = (iqn: string) => (iqn.startsWith(PREFIX) ? iqn.slice(PREFIX.length) : null)

/** The targets of one back end's volumes. Changes go one at a time, so that what control asked last is what stays. */
export class Exports {
  private readonly backend: VolumeBackend
  private readonly targets: TargetDriver
  private readonly locked = locks()

  constructor(backend: VolumeBackend, targets: TargetDriver) {
    this.backend = backend
    this.targets = targets
  }

  export(wanted: WantedExport): Promise<Export> {
    return this.locked('exports', () => this.ensure(wanted))
  }

  unexport(volumeId: string): Promise<void> {
    return this.locked('exports', () => this.targets.remove(iqnOf(volumeId)))
  }

  /** Control's processes do not wait for one another: while this word was on its way, another may have come first and wants the target. */
  async unexportUnless(volumeId: string, desired: () => Promise<WantedExport[]>): Promise<void> {
    await this.locked('exports', async () => {
      if (!(await desired()).some((one) => one.volumeId === volumeId)) await this.targets.remove(iqnOf(volumeId))
    })
  }

  /** Makes the targets that control wants and takes away those of our volumes that it does not. Returns what was done, in words. */
  reconcile(desired: () => Promise<WantedExport[]>): Promise<string[]> {
    return this.locked('exports', async () => {
      const changes: string[] = []
      const wanted = await desired()
      const there = await this.targets.list()
      const known = new Set((await this.backend.list()).map((one) => one.id))
      for (const one of wanted) {
        const before = there.find((target) => target.iqn === iqnOf(one.volumeId))
        await this.ensure(one)
        if (!before) changes.push(`target of volume ${one.volumeId} made again`)
      }
      for (const target of there) {
        const id = volumeOf(target.iqn)
        if (id === null || wanted.some((one) => one.volumeId === id) || !this.isOurs(target, id, known)) continue
        await this.targets.remove(target.iqn)
        changes.push(`target of volume ${id}, which nobody uses, removed`)
      }
      return changes
    })
  }

  /** How a volume is kept from being written to; undefined for one that is not exported. */
  async hold(volumeId: string): Promise<Hold | undefined> {
    const exported = (await this.targets.list()).some((target) => target.iqn === iqnOf(volumeId))
    return exported ? (work) => this.targets.held(work) : undefined
  }

  async audit(): Promise<{ kind: string; name: string; owner: string | null }[]> {
    return (await this.targets.list())
      .filter((target) => target.iqn.startsWith(PREFIX))
      .map((target) => ({ kind: 'iscsi-target', name: target.iqn, owner: volumeOf(target.iqn) }))
  }

  private async ensure({ volumeId, secret, readOnly }: WantedExport): Promise<Export> {
    const iqn = iqnOf(volumeId)
    const { lun, username } = await this.targets.ensure({ iqn, path: this.backend.path(volumeId), secret, readOnly })
    return { iqn, lun, portal: this.targets.portal, username }
  }

  /** Another back end may share the daemon. */
  private isOurs(target: Target, volumeId: string, known: Set<string>): boolean {
    return target.path === this.backend.path(volumeId) || (target.path === null && known.has(volumeId))
  }
}
