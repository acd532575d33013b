import type { MigrationCalls, MigrationPlan } from './migration.ts'
import { flags, procedures } from './procedures.ts'
import { type Calls, noArgs, quiet } from './real-calls.ts'
import { type XdrReader, XdrWriter } from './xdr.ts'

const TEXT = 7
/** A migration may take its time: a day (ms). */
const PATIENCE = { timeoutMs: 86_400_000 }

const planFlags = ({ copyDisks, whole, paused }: MigrationPlan) =>
  flags.migrateLive |
  flags.migratePersistDestination |
  // libvirt cannot see that a directory on both ends is one and the same
  flags.migrateUnsafe |
  (copyDisks.length === 0 ? 0 : whole ? flags.migrateWholeDisks : flags.migrateIncremental) |
  (paused ? flags.migratePaused : 0)

/** The source's domain is let nobody change from the first part to the last. */
const sourceFlags = (plan: MigrationPlan) => planFlags(plan) | flags.migrateChangeProtection

function texts(writer: XdrWriter, parameters: [field: string, value: string][]): XdrWriter {
  writer.int(parameters.length)
  for (const [field, value] of parameters) writer.string(field).int(TEXT).string(value)
  return writer
}

const disksOf = ({ copyDisks }: MigrationPlan) => copyDisks.map((target): [string, string] => ['migrate_disks', target])
const bytes = (cookie: string) => Buffer.from(cookie, 'base64')
const cookieOf = (reply: XdrReader) => reply.opaque().toString('base64')

export function realMigration({ ask, onDomain, readRef }: Calls): MigrationCalls {
  return {
    beginMigration: (uuid, plan) =>
      onDomain(
        procedures.migrateBegin,
        'migrate-begin',
        uuid,
        (writer) => texts(writer, disksOf(plan)).int(sourceFlags(plan)),
        (reply) => ({ cookie: cookieOf(reply), xml: reply.string() }),
      ),
    prepareMigration: (xml, listen, cookie, plan) =>
      ask(
        procedures.migratePrepare,
        `migrate-prepare ${listen}`,
        texts(new XdrWriter(), [['destination_xml', xml], ['migrate_uri', listen], ...disksOf(plan)])
          .opaque(bytes(cookie))
          .int(planFlags(plan))
          .done(),
        (reply) => ({ cookie: cookieOf(reply), uri: reply.optionalString() ?? listen }),
      ),
    performMigration: (uuid, uri, cookie, plan) =>
      onDomain(
        procedures.migratePerform,
        `migrate-perform ${uri}`,
        uuid,
        (writer) =>
          texts(writer.optionalString(null), [['migrate_uri', uri], ...disksOf(plan)])
            .opaque(bytes(cookie))
            .int(sourceFlags(plan)),
        (reply) => ({ cookie: cookieOf(reply) }),
        PATIENCE,
      ),
    finishMigration: (name, cookie, plan, cancelled) =>
      ask(
        procedures.migrateFinish,
        `migrate-finish${cancelled ? ' --cancelled' : ''} ${name}`,
        texts(new XdrWriter(), [['destination_name', name]])
          .opaque(bytes(cookie))
          .int(planFlags(plan))
          .int(Number(cancelled))
          .done(),
        (reply) => {
          readRef(reply)
          return { cookie: cookieOf(reply) }
        },
      ),
    confirmMigration: (uuid, cookie, plan, cancelled) =>
      onDomain(procedures.migrateConfirm, `migrate-confirm${cancelled ? ' --cancelled' : ''}`, uuid, (writer) =>
        texts(writer, []).opaque(bytes(cookie)).int(sourceFlags(plan)).int(Number(cancelled)),
      ),
    migrationProgress: (uuid) =>
      onDomain(
        procedures.domainGetJobInfo,
        'job-info',
        uuid,
        noArgs,
        (reply) => {
          const type = reply.int()
          const [elapsedMs, , , , , total, processed, remaining, ...disk] = Array.from({ length: 11 }, () => reply.hyper()) as [
            number,
            number,
            number,
            number,
            number,
            number,
            number,
            number,
            number,
            number,
            number,
          ]
          return type === 0
            ? null
            : { elapsedMs, memory: { total, processed, remaining }, disk: { total: disk[0], processed: disk[1], remaining: disk[2] } }
        },
        quiet,
      ),
    abortMigration: (uuid) => onDomain(procedures.domainAbortJob, 'job-abort', uuid, noArgs),
  }
}
