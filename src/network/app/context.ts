import type { Bus } from '../../kernel/bus/bus.ts'
import type { Database } from '../../kernel/db/database.ts'
import { isDuplicate } from '../../kernel/db/failures.ts'
import type { Log } from '../../kernel/log/log.ts'
import { lock, type Trx } from '../db/handle.ts'
import type { NetworkTables } from '../db/tables.ts'
import type { GroupNews } from './group-news.ts'
import type { Heartbeats } from './heartbeats.ts'

export interface NetworkContext {
  database: Database<NetworkTables>
  bus: Bus
  log: Log
  tenantNetworkType: 'vxlan' | 'gre' | 'vlan'
  /** Name → bridge. */
  physicalNetworks: Record<string, string>
  /** The provider network in which this machine has the gateway's address. */
  external: { cidr: string; gateway: string }
  dnsDomain: string
  heartbeats: Heartbeats
  groupNews: GroupNews
  /** There is word for compute to deliver. */
  wakeNotices: () => void
}

export interface Viewer {
  projectId: string
  isAdmin: boolean
  requestId?: string
}

/** A transaction under way. */
export interface Work {
  trx: Trx
  context: NetworkContext
  /** What is told to others once it is committed. */
  after: (() => void)[]
  /** From 1; a later one follows a collision with somebody else over an address, a MAC or a segment. */
  attempt: number
}

const ATTEMPTS = 30

/**
 * Runs `action` in a transaction behind the named locks; tells the world after the commit. When a unique key refuses a row, somebody was faster: all is looked at
 * again, so conflicts that stay are found by `action` itself.
 */
export async function mutate<T>(context: NetworkContext, locks: string[], action: (work: Work) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const after: Work['after'] = []
    try {
      const result = await context.database.transaction(async (trx) => {
        after.length = 0
        await lock(trx, locks)
        return await action({ trx, context, after, attempt })
      })
      for (const tell of after) tell()
      return result
    } catch (error) {
      if (!isDuplicate(error) || attempt === ATTEMPTS) throw error
    }
  }
}
