import type { Kysely } from 'kysely'
import { timestamp } from '../db/columns.ts'
import type { SagaTables } from './log.ts'

const OPEN = ['running', 'unwinding']

/** Which process works on which saga: each has an owner, whose lease ends unless it is renewed. A saga without an owner is anybody's. */
export class Leases {
  readonly owner: string
  private readonly ms: number
  private readonly db: () => Kysely<SagaTables>
  /** When what this process holds was last known to be its own, by its own clock. */
  private since = Number.NEGATIVE_INFINITY

  constructor(db: () => Kysely<SagaTables>, owner: string, ms: number) {
    this.db = db
    this.owner = owner
    this.ms = ms
  }

  /** Others may have what this process holds: it was cut off, or stood still, for as long as the lease lasts. */
  get ended(): boolean {
    return performance.now() - this.since > this.ms
  }

  /** Nothing was held, and what is held now was asked for just now. */
  begin(): void {
    this.since = performance.now()
  }

  /** Of a saga that is asked for here. */
  mine(): { owner: string; lease_until: string } {
    return { owner: this.owner, lease_until: timestamp(Date.now() + this.ms) }
  }

  /**
   * Makes open sagas this process's own that have no owner or one whose lease has ended (`all`: any). Returns the subjects that there is something to do for: of those, and
   * of its own that are not `busy`.
   */
  async take({ all, subject, busy }: { all: boolean; subject?: string; busy: (subject: string) => boolean }): Promise<Set<string>> {
    const open = await this.db()
      .selectFrom('sagas')
      .select(['id', 'subject', 'owner', 'lease_until'])
      .where('state', 'in', OPEN)
      .$if(subject !== undefined, (query) => query.where('subject', '=', subject!))
      .orderBy('created_at')
      .execute()
    const subjects = new Set<string>()
    for (const row of open) {
      if (row.owner === this.owner) {
        if (busy(row.subject)) continue
      } else {
        if (!all && (row.lease_until ?? '') > timestamp()) continue
        const taken = await this.db()
          .updateTable('sagas')
          .set(this.mine())
          .where('id', '=', row.id)
          .where('owner', row.owner === null ? 'is' : '=', row.owner)
          .where('lease_until', row.lease_until === null ? 'is' : '=', row.lease_until)
          .executeTakeFirst()
        if (taken.numUpdatedRows === 0n) continue
      }
      subjects.add(row.subject)
    }
    return subjects
  }

  async renew(): Promise<void> {
    const [{ lease_until }, since] = [this.mine(), performance.now()]
    await this.db().updateTable('sagas').set({ lease_until }).where('owner', '=', this.owner).where('state', 'in', OPEN).execute()
    this.since = since
  }

  /** Leaves to others what is open; returns its subjects. */
  async giveUp(): Promise<Set<string>> {
    const own = await this.db()
      .selectFrom('sagas')
      .select('subject')
      .where('owner', '=', this.owner)
      .where('state', 'in', OPEN)
      .orderBy('created_at')
      .execute()
    await this.db()
      .updateTable('sagas')
      .set({ owner: null, lease_until: null })
      .where('owner', '=', this.owner)
      .where('state', 'in', OPEN)
      .execute()
    return new Set(own.map(({ subject }) => subject))
  }
}
