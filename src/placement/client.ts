import { Fault } from '../kernel/errors/errors.ts'
import type { RestAnswer, RestRequest, RestTransport } from '../kernel/http/client.ts'
import type { InventoryDocument, ProviderDocument, ProviderSummary } from './api/schemas.ts'

export type { InventoryDocument, ProviderDocument, ProviderSummary }

/** Provider → class → amount. */
export type AllocationAmounts = Record<string, Record<string, number>>

export interface CandidatesQuery {
  resources: Record<string, number>
  /** Traits; `!T` must not be there. */
  required?: string[]
  limit?: number
  /** Every list needs an aggregate that the provider is in. */
  memberOf?: string[][]
  inTree?: string
}

export interface Candidates {
  requests: AllocationAmounts[]
  summaries: Record<string, ProviderSummary>
}

export interface ConsumerAllocations {
  allocations: AllocationAmounts
  projectId: string | null
  userId: string | null
  /** Null when it holds nothing. */
  generation: number | null
}

export interface NewClaim {
  allocations: AllocationAmounts
  projectId: string
  userId: string
  /** INSTANCE, MIGRATION, ... */
  consumerType?: string
}

const VERSION = 'placement 1.39'
const CONCURRENT_UPDATE = 'placement.concurrent_update'
const RETRIES = 10

/** The placement service, as the other services use it. All methods throw placement's own Fault. */
export class PlacementClient {
  private readonly transport: RestTransport
  private readonly session: { token(): Promise<string> }

  constructor(transport: RestTransport, session: { token(): Promise<string> }) {
    this.transport = transport
    this.session = session
  }

  /** @throws Fault 404 */
  async provider(uuid: string): Promise<ProviderDocument> {
    return await this.json({ method: 'GET', path: `/resource_providers/${uuid}` })
  }

  /** The provider of that uuid, made if need be, renamed if it has another name. */
  async ensureProvider(uuid: string, name: string): Promise<ProviderDocument> {
    for (let attempt = 1; ; attempt++) {
      const found = await this.send({ method: 'GET', path: `/resource_providers/${uuid}` })
      if (found.status === 200 && found.body.name === name) return found.body
      if (found.status !== 200 && found.status !== 404) throw faultOf(found)
      const written =
        found.status === 404
          ? await this.send({ method: 'POST', path: '/resource_providers', body: { uuid, name } })
          : await this.send({ method: 'PUT', path: `/resource_providers/${uuid}`, body: { name } })
      if (written.status === 200) return written.body
      const elsewhere = written.status === 409 || written.status === 404
      if (!elsewhere || attempt === 3) throw faultOf(written)
    }
  }

  /** Replaces what the provider has. @throws Fault 404, 409 when something that is in use would vanish */
  async setInventories(uuid: string, inventories: Record<string, InventoryDocument>): Promise<void> {
    await this.underGeneration(uuid, 'inventories', { inventories })
  }

  /** Replaces the provider's traits; custom ones are made as needed. */
  async setTraits(uuid: string, traits: string[]): Promise<void> {
    for (const name of traits.filter((one) => one.startsWith('CUSTOM_'))) await this.json({ method: 'PUT', path: `/traits/${name}` })
    await this.underGeneration(uuid, 'traits', { traits: [...new Set(traits)] })
  }

  async setAggregates(uuid: string, aggregates: string[]): Promise<void> {
    await this.underGeneration(uuid, 'aggregates', { aggregates: [...new Set(aggregates)] })
  }

  /** Where the resources can be had now. */
  async candidates(query: CandidatesQuery): Promise<Candidates> {
    const { required = [], memberOf = [] } = query
    const body = await this.json({
      method: 'GET',
      path: '/allocation_candidates',
      query: {
        resources: Object.entries(query.resources)
          .map(([name, amount]) => `${name}:${amount}`)
          .join(','),
        required: required.length > 0 ? required.join(',') : undefined,
        member_of: memberOf.map((any) => `in:${any.join(',')}`),
        in_tree: query.inTree,
        limit: query.limit,
      },
    })
    return { requests: body.allocation_requests.map((one: any) => amountsOf(one.allocations)), summaries: body.provider_summaries }
  }

  /** Claims in place of what the consumer held. False when there is no room (any more). @throws Fault 400 for unknown providers */
  async claim(consumer: string, claim: NewClaim): Promise<boolean> {
    let generation: number | null = null
    for (let attempt = 1; attempt <= RETRIES; attempt++) {
      const answer = await this.send({ method: 'PUT', path: `/allocations/${consumer}`, body: bodyOf(claim, generation) })
      if (answer.status < 300) return true
      if (answer.status === 400 && (await this.isGone(claim))) return false
      if (answer.status !== 409) throw faultOf(answer)
      if (codeOf(answer) !== CONCURRENT_UPDATE) return false
      generation = (await this.allocations(consumer)).generation
    }
    return false
  }

  /** Several consumers at once, all or none, in place of what they held; one without allocations gives all back. False when there is no room (any more). */
  async claimTogether(claims: Record<string, NewClaim>): Promise<boolean> {
    for (let attempt = 1; attempt <= RETRIES; attempt++) {
      const held = await Promise.all(Object.keys(claims).map((consumer) => this.allocations(consumer)))
      const wanted = Object.entries(claims).map(([consumer, claim], i) => ({ consumer, claim, generation: held[i]!.generation }))
      const body = Object.fromEntries(
        wanted
          // a consumer that holds nothing has nothing to give back
          .filter(({ claim, generation }) => generation !== null || Object.keys(claim.allocations).length > 0)
          .map(({ consumer, claim, generation }) => [consumer, bodyOf(claim, generation)]),
      )
      const answer = await this.send({ method: 'POST', path: '/allocations', body })
      if (answer.status < 300) return true
      if (answer.status === 400 && (await this.isGone(...Object.values(claims)))) return false
      if (answer.status !== 409) throw faultOf(answer)
      if (codeOf(answer) !== CONCURRENT_UPDATE) return false
    }
    return false
  }

  /** A provider that was removed since it was chosen has no room. */
  private async isGone(...claims: NewClaim[]): Promise<boolean> {
    const uuids = new Set(claims.flatMap((claim) => Object.keys(claim.allocations)))
    const found = await Promise.all([...uuids].map((uuid) => this.send({ method: 'GET', path: `/resource_providers/${uuid}` })))
    return found.some((one) => one.status === 404)
  }

  /** What a consumer holds; nothing is fine. */
  async allocations(consumer: string): Promise<ConsumerAllocations> {
    const body = await this.json({ method: 'GET', path: `/allocations/${consumer}` })
    return {
      allocations: amountsOf(body.allocations),
      projectId: body.project_id ?? null,
      userId: body.user_id ?? null,
      generation: body.consumer_generation ?? null,
    }
  }

  /** A consumer that holds nothing is fine. */
  async release(consumer: string): Promise<void> {
    const answer = await this.send({ method: 'DELETE', path: `/allocations/${consumer}` })
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer)
  }

  /** Consumer → class → amount. @throws Fault 404 */
  async consumersOf(uuid: string): Promise<{ allocations: Record<string, Record<string, number>> }> {
    const body = await this.json({ method: 'GET', path: `/resource_providers/${uuid}/allocations` })
    return { allocations: amountsOf(body.allocations) }
  }

  /** What is held of a provider, by class. @throws Fault 404 */
  async usages(uuid: string): Promise<Record<string, number>> {
    return (await this.json({ method: 'GET', path: `/resource_providers/${uuid}/usages` })).usages
  }

  /** One that is not there any more is fine. @throws Fault 409 while somebody holds something of it */
  async removeProvider(uuid: string): Promise<void> {
    const answer = await this.send({ method: 'DELETE', path: `/resource_providers/${uuid}` })
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer)
  }

  /** Reads the provider's generation and writes under it, again when somebody else was faster. */
  private async underGeneration(uuid: string, part: string, body: object): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { generation } = await this.provider(uuid)
      const answer = await this.send({
        method: 'PUT',
        path: `/resource_providers/${uuid}/${part}`,
        body: { resource_provider_generation: generation, ...body },
      })
      if (answer.status < 300) return
      if (codeOf(answer) !== CONCURRENT_UPDATE || attempt === RETRIES) throw faultOf(answer)
    }
  }

  private async json(request: RestRequest): Promise<any> {
    const answer = await this.send(request)
    if (answer.status >= 400) throw faultOf(answer)
    return answer.body
  }

  private async send(request: RestRequest): Promise<RestAnswer> {
    return await this.transport.send({
      ...request,
      path: `/placement${request.path}`,
      token: await this.session.token(),
      headers: { 'openstack-api-version': VERSION },
    })
  }
}

const bodyOf = (claim: NewClaim, generation: number | null) => ({
  allocations: Object.fromEntries(Object.entries(claim.allocations).map(([uuid, resources]) => [uuid, { resources }])),
  project_id: claim.projectId,
  user_id: claim.userId,
  consumer_generation: generation,
  consumer_type: claim.consumerType ?? 'INSTANCE',
})

const amountsOf = (allocations: Record<string, { resources: Record<string, number> }>): AllocationAmounts =>
  Object.fromEntries(Object.entries(allocations).map(([key, one]) => [key, one.resources]))

const codeOf = (answer: RestAnswer): string | undefined => answer.body?.errors?.[0]?.code
const faultOf = (answer: RestAnswer): Fault =>
  new Fault(answer.status, codeOf(answer) ?? 'RemoteFault', answer.body?.errors?.[0]?.detail ?? `HTTP ${answer.status}`)
