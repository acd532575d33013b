import { remembered } from '../remembered.ts'
import { assertTarget, LUN, type Target, type TargetDriver, usernameOf } from './driver.ts'

export interface SimulatedTargets extends TargetDriver {
  /** As restarting the daemon does: it keeps nothing. */
  forget(): void
  /** As an initiator that logs in; throws what it would be told. */
  login(iqn: string, username: string, secret: string): void
}

interface State {
  targets: Record<string, Target & { secret: string }>
}

export function simulatedTargets(options: { file?: string; portal?: string } = {}): SimulatedTargets {
  const memory = remembered<State>(options.file, { targets: {} })
  const { targets } = memory.state
  return {
    portal: options.portal ?? '127.0.0.1:3260',
    list: async () => Object.values(targets).map(({ secret: _, ...target }) => target),
    async ensure({ iqn, path, secret, readOnly }) {
      assertTarget({ iqn, path })
      const found = targets[iqn]
      if (!found || found.path !== path || found.readOnly !== readOnly)
        targets[iqn] = { iqn, path, secret, readOnly, username: usernameOf(iqn), open: true, initiators: [] }
      memory.save()
      return { lun: LUN, username: usernameOf(iqn) }
    },
    async remove(iqn) {
      delete targets[iqn]
      memory.save()
    },
    held: (work) => work(),
    forget() {
      for (const iqn of Object.keys(targets)) delete targets[iqn]
      memory.save()
    },
    login(iqn, username, secret) {
      const target = targets[iqn]
      if (!target) throw new Error('target not found')
      if (target.username !== username || target.secret !== secret) throw new Error('Authentication failure(513)')
      target.initiators.push('simulated')
    },
  }
}
