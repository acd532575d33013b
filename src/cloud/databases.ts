import { join } from 'node:path'
import { migrations as cluster } from '../cluster/service.ts'
import { migrations as compute } from '../compute/service.ts'
import { migrations as identity } from '../identity/service.ts'
import { migrations as image } from '../image/service.ts'
import type { Migrations } from '../kernel/db/database.ts'
import { parseMysqlUrl, withDatabase } from '../kernel/db/nodes.ts'
import type { ServiceDatabase } from '../kernel/db/upgrade.ts'
import { badRequest } from '../kernel/errors/errors.ts'
import { migrations as network } from '../network/service.ts'
import { migrations as placement } from '../placement/service.ts'
import { migrations as volume } from '../volume/service.ts'

const MIGRATIONS: Record<string, Migrations> = { identity, placement, image, network, volume, compute, cluster }

/**
 * Where a service keeps its data: a file of the state directory, or, with the `url` of a MariaDB server or cluster (`mysql://…/yun`), a database of its own there: `yun_compute`.
 * @throws Fault 400 for an address that is none
 */
export function databaseUrl(service: string, { stateDir, url }: { stateDir: string; url?: string | null }): string {
  if (!url) return `sqlite:${join(stateDir, 'db', `${service}.sqlite`)}`
  let prefix: string
  try {
    prefix = parseMysqlUrl(url).database
  } catch {
    prefix = ''
  }
  if (!/^\w+$/.test(prefix))
    throw badRequest(`database address: mysql://user:password@node1:3306,node2:3306/yun is needed (letters, digits and _ as name)`, 'Usage')
  return withDatabase(url, `${prefix}_${service}`)
}

/** All databases of a cloud. */
export const serviceDatabases = (at: { stateDir: string; url?: string | null }): ServiceDatabase[] =>
  Object.entries(MIGRATIONS).map(([service, migrations]) => ({ service, url: databaseUrl(service, at), migrations }))
