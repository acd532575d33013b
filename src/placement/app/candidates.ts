import type { Stock } from '../db/inventories.ts'
import { stocksOf, stocksWith } from '../db/inventories.ts'
import { drawnTrees, moreProvidersThan, providersOfTreesWith, traitsOfMany, whoHasTraits, whoIsIn } from '../db/providers.ts'
import type { Amounts } from './allocation.ts'
import type { PlacementContext } from './context.ts'
import { capacity, shortage } from './inventory.ts'
import type { Provider } from './provider.ts'
import type { Wish } from './query.ts'
import { checkClasses } from './resource-class.ts'
import { checkTraits } from './trait.ts'

export interface CandidateQuery {
  wishes: Wish[]
  limit?: number
  /** Groups with suffixes each get a provider of their own. */
  isolate: boolean
  /** Of the roots of the trees. */
  rootRequired: string[]
  rootForbidden: string[]
  /** Children give too (microversion 1.29). */
  nested: boolean
}

export interface Candidate {
  allocations: Amounts
  /** Group → the providers that it is had of. */
  mappings: Record<string, string[]>
}

export interface Summary {
  provider: Provider
  resources: Record<string, { capacity: number; used: number }>
  traits: string[]
}

interface World {
  stocks: Map<string, Map<string, Stock>>
  traits: Map<string, Set<string>>
  aggregates: Map<string, Set<string>>
}

type Choice = { wish: Wish; picks: [resourceClass: string, provider: Provider][] }

const NONE: ReadonlySet<string> = new Set()

/**
 * Where what is asked can be had, in as many queries whether there are ten providers or ten thousand: who wants fewer candidates than there are providers is given
 * some that are drawn, and the others are not looked at. @throws Fault 400 for unknown names */
export async function candidates(context: PlacementContext, query: CandidateQuery) {
  const { db } = context.database
  const { wishes } = query
  const classes = [...new Set(wishes.flatMap((wish) => Object.keys(wish.resources)))]
  const traits = [
    ...new Set([...wishes.flatMap((wish) => [...wish.required.flat(), ...wish.forbidden]), ...query.rootRequired, ...query.rootForbidden]),
  ]
  const aggregates = [...new Set(wishes.flatMap((wish) => [...wish.memberOf.flat(), ...wish.notMemberOf]))]
  await checkClasses(db, classes)
  await checkTraits(db, traits)
  const named = { traits: await whoHasTraits(db, traits), aggregates: await whoIsIn(db, aggregates) }
  const { limit } = query
  if (limit !== undefined && wishes.every((wish) => wish.inTree === null) && (await moreProvidersThan(db, limit))) {
    const found: Found = { candidates: [], providers: [] }
    const looked = new Map<string, Map<string, Stock>>()
    for await (const providers of drawnTrees(db, limit)) {
      const stocks = byProvider(await stocksOf(db, uuidsOf(providers)))
      for (const [uuid, some] of stocks) looked.set(uuid, some)
      search(providers, query, { ...named, stocks }, found)
      if (found.candidates.length >= limit) break
    }
    return { candidates: found.candidates, summaries: await summaries(context, found.providers, looked) }
  }
  const found: Found = { candidates: [], providers: [] }
  search(await providersOfTreesWith(db, classes), query, { ...named, stocks: byProvider(await stocksWith(db, classes)) }, found)
  if (found.providers.length === 0) return { candidates: [], summaries: [] }
  // these have more than what was asked for
  const all = byProvider(await stocksOf(db, uuidsOf(found.providers)))
  return { candidates: found.candidates, summaries: await summaries(context, found.providers, all) }
}

const uuidsOf = (providers: Provider[]) => providers.map((one) => one.uuid)

interface Found {
  candidates: Candidate[]
  /** Of the trees that they are in. */
  providers: Provider[]
}

/** Adds to what was found until there is as much as is wanted. */
function search(providers: Provider[], query: CandidateQuery, world: World, found: Found): void {
  for (const tree of Map.groupBy(providers, (one) => one.root_uuid).values()) {
    if (!rootFits(tree, query, world)) continue
    const before = found.candidates.length
    for (const choices of combinations(tree, query.wishes, query, world)) {
      if (query.limit !== undefined && found.candidates.length >= query.limit) break
      const candidate = combine(choices, world)
      if (candidate) found.candidates.push(candidate)
    }
    if (found.candidates.length > before) found.providers.push(...tree.filter((one) => query.nested || one.parent_uuid === null))
    if (query.limit !== undefined && found.candidates.length >= query.limit) return
  }
}

function byProvider(stocks: Stock[]): Map<string, Map<string, Stock>> {
  const map = new Map<string, Map<string, Stock>>()
  for (const stock of stocks) {
    const known = map.get(stock.provider_uuid)
    if (known) known.set(stock.resource_class, stock)
    else map.set(stock.provider_uuid, new Map([[stock.resource_class, stock]]))
  }
  return map
}

function rootFits(tree: Provider[], query: CandidateQuery, world: World): boolean {
  const have = world.traits.get(tree[0]!.root_uuid) ?? NONE
  return query.rootRequired.every((trait) => have.has(trait)) && !query.rootForbidden.some((trait) => have.has(trait))
}

/** Every way to fulfil all wishes in one tree. */
function* combinations(tree: Provider[], wishes: Wish[], query: CandidateQuery, world: World): Generator<Choice[]> {
  const [wish, ...rest] = wishes
  if (!wish) return yield []
  for (const choice of choicesOf(tree, wish, query, world))
    for (const others of combinations(tree, rest, query, world)) {
      if (query.isolate && wish.suffix !== '' && others.some((other) => other.wish.suffix !== '' && samePlace(other, choice))) continue
      yield [choice, ...others]
    }
}

const samePlace = (a: Choice, b: Choice) => a.picks[0]![1].uuid === b.picks[0]![1].uuid

function* choicesOf(tree: Provider[], wish: Wish, query: CandidateQuery, world: World): Generator<Choice> {
  if (wish.inTree !== null && !tree.some((one) => one.uuid === wish.inTree)) return
  const members = tree.filter((one) => (query.nested || one.parent_uuid === null) && inAggregates(one, wish, world))
  const wanted = Object.entries(wish.resources)
  const gives = (one: Provider, name: string, amount: number) => {
    const stock = world.stocks.get(one.uuid)?.get(name)
    return stock !== undefined && shortage(stock, amount) === null
  }
  if (wish.suffix !== '') {
    for (const one of members)
      if (wanted.every(([name, amount]) => gives(one, name, amount)) && traitsFit([one], wish, world))
        yield { wish, picks: wanted.map(([name]) => [name, one]) }
    return
  }
  const options = wanted.map(([name, amount]) => members.filter((one) => gives(one, name, amount)))
  for (const picked of product(options)) {
    if (!traitsFit([...new Set(picked)], wish, world)) continue
    yield { wish, picks: wanted.map(([name], i) => [name, picked[i]!]) }
  }
}

function* product<T>(options: T[][]): Generator<T[]> {
  const [first, ...rest] = options
  if (!first) return yield []
  if (options.some((one) => one.length === 0)) return
  for (const one of first) for (const others of product(rest)) yield [one, ...others]
}

/** Those that give something have the required traits together, and none has a forbidden one. */
function traitsFit(givers: Provider[], wish: Wish, world: World): boolean {
  const have = givers.map((one) => world.traits.get(one.uuid) ?? NONE)
  return (
    wish.required.every((names) => names.some((name) => have.some((set) => set.has(name)))) &&
    !wish.forbidden.some((name) => have.some((set) => set.has(name)))
  )
}

/** An aggregate of the root counts for its tree when the wish has no suffix. */
function inAggregates(one: Provider, wish: Wish, world: World): boolean {
  const own = world.aggregates.get(one.uuid) ?? NONE
  const ofRoot = wish.suffix === '' ? (world.aggregates.get(one.root_uuid) ?? NONE) : NONE
  const isIn = (aggregate: string) => own.has(aggregate) || ofRoot.has(aggregate)
  return wish.memberOf.every((any) => any.some(isIn)) && !wish.notMemberOf.some(isIn)
}

/** Null when what several groups want of one provider is too much together. */
function combine(choices: Choice[], world: World): Candidate | null {
  const allocations: Amounts = {}
  const mappings: Candidate['mappings'] = {}
  for (const { wish, picks } of choices) {
    for (const [name, { uuid }] of picks) {
      allocations[uuid] ??= {}
      allocations[uuid]![name] = (allocations[uuid]![name] ?? 0) + wish.resources[name]!
    }
    mappings[wish.suffix] = [...new Set(picks.map(([, { uuid }]) => uuid))]
  }
  if (choices.length > 1)
    for (const [uuid, amounts] of Object.entries(allocations))
      for (const [name, amount] of Object.entries(amounts)) if (shortage(world.stocks.get(uuid)!.get(name)!, amount)) return null
  return { allocations, mappings }
}

/** `stocks`: all that these providers have. */
async function summaries({ database: { db } }: PlacementContext, providers: Provider[], stocks: World['stocks']): Promise<Summary[]> {
  if (providers.length === 0) return []
  const traits = await traitsOfMany(db, uuidsOf(providers))
  return providers.map((provider) => ({
    provider,
    resources: Object.fromEntries(
      [...(stocks.get(provider.uuid)?.values() ?? [])].map((stock) => [
        stock.resource_class,
        { capacity: capacity(stock), used: stock.used },
      ]),
    ),
    traits: [...(traits.get(provider.uuid) ?? NONE)],
  }))
}
