import { randomBytes, randomUUID } from 'node:crypto'
import { timestamp, toJson } from '../../kernel/db/columns.ts'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { Passage } from '../../kernel/http/api.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { now, record, type StepRecord } from '../../kernel/trace/trace.ts'
import { insertAll, nextNumber } from '../db/handle.ts'
import type { InstanceRow } from '../db/tables.ts'
import { recordActions } from './action.ts'
import type { ComputeContext } from './context.ts'
import { autoDiskConfig } from './disk-config.ts'
import { findFlavor, specOfFlavor } from './flavor.ts'
import { checkBound, checkFits, imageSpec } from './image-spec.ts'
import { domainNameOf, type ServerRequest } from './instance-spec.ts'
import { findKeypair } from './keypair.ts'
import type { NewServer } from './new-server.ts'
import { type Limits, limitsOf, reserveServers, usageOf } from './quota.ts'
import { parseQuery } from './scheduler/json-filter.ts'
import { findServerGroup } from './server-group.ts'
import { portsFor, securityGroupsFor } from './wanted-networks.ts'
import { blockDevicesFor } from './wanted-volumes.ts'
import { placeFor } from './zone.ts'

export interface Accepted {
  servers: InstanceRow[]
  reservationId: string
  adminPass: string
}

/**
 * Steps 2 to 7: looks up everything that the request names, then writes the rows, the quota's reservation and the saga in one transaction: an accepted request is never lost, a refused
 * one leaves nothing.
 * @throws Fault 400, 403 (quota, forced host), 404, 409 as OpenStack's compute API does
 */
export async function acceptServers(
  context: ComputeContext,
  request: RequestContext,
  passage: Passage,
  wanted: NewServer,
): Promise<Accepted> {
  const started = now()
  if (wanted.trustedCertificates && !wanted.imageRef)
    throw badRequest('Image certificate validation is not supported when booting from volume', 'CertificateValidationFailed')
  const limits = await limitsOf(context.database.db, request.projectId!)
  const most = await mostOf(context, request, wanted, limits)
  const flavor = await flavorFor(context, request, wanted)
  const named = wanted.imageRef ? await imageSpec(context, request, wanted.imageRef) : null
  const [keypair, securityGroups, ports, place, group, devices] = await Promise.all([
    wanted.keyName ? keyFor(context, request, wanted.keyName) : null,
    securityGroupsFor(context, request, wanted.securityGroups),
    portsFor(context, request, wanted, most),
    placeFor(context, wanted),
    groupFor(context, request, wanted),
    blockDevicesFor(context, request, wanted, named),
  ])
  const root = devices.find((one) => one.boot_index === 0)
  if (named) checkFits(named, flavor, root)
  const image = root ? null : named // a volume that boots stands before it
  if (image) checkBound(flavor, wanted.unboundDisk)
  if (context.settings.scheduler.enabledFilters.includes('JsonFilter')) parseQuery(wanted.hints.query)
  checkLimits(limits, wanted)

  const reservationId = `r-${randomBytes(5).toString('hex').slice(0, 8)}`
  const adminPass = wanted.adminPass ?? password()
  const at = timestamp()
  const template = {
    project_id: request.projectId!,
    user_id: request.userId!,
    description: wanted.description,
    reservation_id: reservationId,
    vm_state: 'building' as const,
    task_state: 'scheduling',
    held_task: null,
    power_state: 0,
    host: null,
    node: null,
    requested_zone: place.zone,
    zone: null,
    image_id: image?.id ?? null,
    flavor_json: toJson(flavor),
    vcpus: flavor.vcpus,
    ram: flavor.ramMiB,
    old_flavor_json: null,
    key_name: keypair?.name ?? null,
    key_json: toJson(keypair && { name: keypair.name, publicKey: keypair.public_key, type: keypair.type }),
    user_data: wanted.userData,
    config_drive: wanted.configDrive ? 1 : 0,
    auto_disk_config: autoDiskConfig(image, wanted.autoDiskConfig),
    metadata_json: toJson(wanted.metadata),
    tags_json: toJson(wanted.tags),
    files_json: toJson(wanted.files),
    security_groups_json: toJson(securityGroups),
    network_info_json: '[]',
    group_id: group?.id ?? null,
    access_ipv4: wanted.accessIPv4,
    access_ipv6: wanted.accessIPv6,
    locked: 0,
    locked_reason: null,
    fault_json: null,
    progress: 0,
    rescue_image_id: null,
    created_at: at,
    updated_at: at,
    launched_at: null,
    terminated_at: null,
    deleted: 0,
  }
  const quotaAt = now()
  let quotaMs = 0
  const { servers, quotaText } = await context.database.transaction(async (trx) => {
    const each = { cores: flavor.vcpus, ram: flavor.ramMiB }
    const { count, text } = await reserveServers(trx, request.projectId!, limits, each, { least: wanted.minCount, most })
    quotaMs = now() - quotaAt
    const first = await nextNumber(trx, 'instances', count)
    const rows: InstanceRow[] = []
    for (let i = 0; i < count; i++) {
      const name = wanted.maxCount > 1 ? `${wanted.name}-${i + 1}` : wanted.name
      const asks: ServerRequest = {
        networks: ports[i]!,
        hints: wanted.hints,
        forcedHost: place.host,
        forcedNode: place.node,
        image,
        triedHosts: [],
        trustedCertificates: wanted.trustedCertificates,
      }
      rows.push({
        ...template,
        id: randomUUID(),
        number: first + i,
        name,
        hostname: hostnameOf(wanted.hostname ? (wanted.maxCount > 1 ? `${wanted.hostname}-${i + 1}` : wanted.hostname) : name),
        launch_index: i,
        request_json: toJson(asks),
      })
    }
    await insertAll(trx, 'instances', rows)
    const attached = (row: InstanceRow) =>
      devices.map((device) => ({
        ...device,
        id: randomUUID(),
        server_id: row.id,
        volume_id: device.volume_id ?? randomUUID(),
        created_at: at,
      }))
    await insertAll(trx, 'block_devices', rows.flatMap(attached))
    await recordActions(
      trx,
      request,
      rows.map((row) => row.id),
      'create',
    )
    await context.engine.submitAll(
      trx,
      rows.map((row) => ({
        kind: 'create-server',
        subject: `server:${row.id}`,
        requestId: request.requestId,
        input: { serverId: row.id, adminPass: wanted.configDrive || context.settings.injectPassword ? adminPass : undefined },
      })),
    )
    return { servers: rows, quotaText: text }
  })
  const rowMs = now() - quotaAt - quotaMs
  for (const row of servers) describe(request, passage, row, { started, quotaAt, quotaMs, rowMs, quotaText })
  context.engine.wake(...servers.map((row) => `server:${row.id}`))
  return { servers, reservationId, adminPass }
}

/** So many servers one request makes at most where no quota says less. */
const MOST = 1000

/** For how many servers to prepare: what no quota allows need not be drawn up first. @throws Fault 403 TooManyInstances, 400 */
async function mostOf(context: ComputeContext, request: RequestContext, wanted: NewServer, { instances: limit }: Limits): Promise<number> {
  if (limit >= 0 && wanted.minCount > limit) {
    const { instances: used } = await usageOf(context.database.db, request.projectId!)
    throw new Fault(
      403,
      'TooManyInstances',
      `Quota exceeded for instances: Requested ${wanted.minCount}, but already used ${used} of ${limit} instances`,
    )
  }
  if (wanted.minCount > MOST) throw badRequest(`One request makes ${MOST} servers at most, not ${wanted.minCount}.`)
  return Math.min(wanted.maxCount, MOST, Math.max(limit < 0 ? MOST : limit, wanted.minCount))
}

async function flavorFor(context: ComputeContext, request: RequestContext, wanted: NewServer) {
  try {
    return specOfFlavor(await findFlavor(context, wanted.flavorRef, request.isAdmin ? null : request.projectId))
  } catch (error) {
    if (error instanceof Fault && error.status === 404) throw badRequest(`Flavor ${wanted.flavorRef} could not be found.`, 'FlavorNotFound')
    throw error
  }
}

async function keyFor(context: ComputeContext, request: RequestContext, name: string) {
  try {
    return await findKeypair(context, request.userId!, name)
  } catch (error) {
    if (error instanceof Fault && error.status === 404) throw badRequest('Invalid key_name provided.', 'KeypairNotFound')
    throw error
  }
}

async function groupFor(context: ComputeContext, request: RequestContext, wanted: NewServer) {
  const id = [wanted.hints.group ?? []].flat()[0]
  if (id === undefined) return null
  try {
    return await findServerGroup(context, String(id), request.isAdmin ? null : request.projectId)
  } catch (error) {
    if (error instanceof Fault && error.status === 404)
      throw badRequest(`Instance group ${id} could not be found.`, 'InstanceGroupNotFound')
    throw error
  }
}

function checkLimits(limits: Limits, wanted: NewServer): void {
  const over = (limit: number, n: number) => limit >= 0 && n > limit
  if (over(limits.metadata_items, Object.keys(wanted.metadata).length))
    throw new Fault(403, 'MetadataLimitExceeded', `Maximum number of metadata items exceeds ${limits.metadata_items}`)
  if (over(limits.injected_files, wanted.files.length)) throw new Fault(403, 'OnsetFileLimitExceeded', 'Personality file limit exceeded')
  for (const file of wanted.files) {
    if (over(limits.injected_file_path_bytes, Buffer.byteLength(file.path)))
      throw new Fault(403, 'OnsetFilePathLimitExceeded', 'Personality file path exceeds maximum length')
    if (over(limits.injected_file_content_bytes, Buffer.from(file.contents, 'base64').length))
      throw new Fault(403, 'OnsetFileContentLimitExceeded', 'Personality file content exceeds maximum size')
  }
}

/** A name that DNS and the guest take: the server's, or `Server-<n>`-like when nothing of it is left. */
function hostnameOf(name: string): string {
  const cleaned = name
    .toLowerCase()
    .replace(/[ _.]/g, '-')
    .replace(/[^a-z0-9-]/g, '')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '')
  return cleaned || `server-${randomBytes(4).toString('hex')}`
}

export const password = () => randomBytes(9).toString('base64url').replace(/[-_]/g, 'x').slice(0, 12)

/** Steps 2 to 7 of the trace: what the edge and this request did. */
function describe(
  request: RequestContext,
  passage: Passage,
  row: InstanceRow,
  times: { started: number; quotaAt: number; quotaMs: number; rowMs: number; quotaText: string },
): void {
  const step = (number: number, name: string, startedAt: number, ms: number, evidence: StepRecord['evidence']) =>
    record({
      subject: `server:${row.id}`,
      step: number,
      name,
      service: 'compute/api',
      requestId: request.requestId,
      startedAt,
      ms,
      outcome: 'done',
      evidence,
    })
  const { rate, token, policy } = passage
  step(2, 'post-servers', passage.arrived, now() - passage.arrived, { text: request.requestId })
  step(3, 'rate-limit', rate.at, rate.ms, {
    text: rate.decision
      ? `${rate.decision.remaining} left of ${rate.decision.limit.value} ${rate.decision.limit.verb} a ${rate.decision.limit.unit.toLowerCase()}`
      : 'no limit is set',
  })
  step(4, 'validate-token', token?.at ?? times.started, token?.ms ?? 0, {
    text: `${request.tokenKind}, ${request.userName} on project ${request.projectName}${token?.cached ? ', cached' : ''}`,
    auditId: request.auditIds[0],
  })
  step(5, 'policy', policy.at, policy.ms, { text: policy.decision ? `${policy.decision.rule}: ${policy.decision.text}` : 'open' })
  step(6, 'quota', times.quotaAt, times.quotaMs, { text: times.quotaText })
  step(7, 'instance-row', times.quotaAt + times.quotaMs, times.rowMs, {
    text: `${domainNameOf(row.number)}, building, scheduling`,
    id: row.id,
    number: row.number,
  })
}
