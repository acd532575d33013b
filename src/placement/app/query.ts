import { badValue } from './faults.ts'
import { MAX_UNIT } from './inventory.ts'

/** One group of what is asked, of one provider or (the group without a suffix) of one tree. */
export interface Wish {
  /** '' for the group whose resources may come from several providers of one tree. */
  suffix: string
  resources: Record<string, number>
  /** Every list needs a trait that the provider has. */
  required: string[][]
  forbidden: string[]
  /** Every list needs an aggregate that the provider is in. */
  memberOf: string[][]
  notMemberOf: string[]
  inTree: string | null
}

type Query = Record<string, string | string[] | number | boolean | undefined>

const listOf = (value: Query[string]): string[] => (value === undefined ? [] : [value].flat().map(String))
const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i

/** `VCPU:1,MEMORY_MB:512`. @throws Fault 400 */
export function parseResources(text: string): Record<string, number> {
  const resources: Record<string, number> = {}
  for (const item of text.split(',')) {
    const match = /^([A-Z0-9_]+):(\d{1,10})$/.exec(item.trim())
    const amount = Number(match?.[2])
    if (!match || amount < 1 || amount > MAX_UNIT)
      throw badValue(
        `Badly formed resources parameter. Expected resources query string parameter in form: ?resources=VCPU:2,MEMORY_MB:1024. Got: ${text}`,
      )
    if (resources[match[1]!] !== undefined) throw badValue(`Badly formed resources parameter: ${match[1]} is there twice.`)
    resources[match[1]!] = amount
  }
  return resources
}

/** `T1,!T2` or `in:T1,T2`, repeated. @throws Fault 400 */
export function parseRequired(value: Query[string], allowed: { forbidden: boolean; any: boolean }): Pick<Wish, 'required' | 'forbidden'> {
  const wish: Pick<Wish, 'required' | 'forbidden'> = { required: [], forbidden: [] }
  const bad = (text: string) =>
    badValue(`Invalid query string parameters: Expected 'required' parameter value of the form: HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: ${text}`)
  for (const text of listOf(value)) {
    if (text.startsWith('in:')) {
      const names = text.slice(3).split(',')
      if (!allowed.any || names.some((name) => !/^[A-Z0-9_]+$/.test(name))) throw bad(text)
      wish.required.push(names)
      continue
    }
    for (const item of text.split(',')) {
      const match = /^(!?)([A-Z0-9_]+)$/.exec(item.trim())
      if (!match || (match[1] && !allowed.forbidden)) throw bad(text)
      if (match[1]) wish.forbidden.push(match[2]!)
      else wish.required.push([match[2]!])
    }
  }
  const both = wish.forbidden.filter((name) => wish.required.some((names) => names.length === 1 && names[0] === name))
  if (both.length > 0) throw badValue(`Conflicting required and forbidden traits found in the same group: ${both.join(', ')}`)
  return wish
}

/** `agg`, `in:agg1,agg2`, `!agg`, `!in:agg1,agg2`, repeated. @throws Fault 400 */
export function parseMemberOf(value: Query[string]): Pick<Wish, 'memberOf' | 'notMemberOf'> {
  const wish: Pick<Wish, 'memberOf' | 'notMemberOf'> = { memberOf: [], notMemberOf: [] }
  for (const text of listOf(value)) {
    const match = /^(!?)(in:)?(.+)$/.exec(text)
    const ids = match?.[3]?.split(',') ?? []
    if (!match || ids.some((id) => !UUID.test(id)) || (!match[2] && ids.length > 1))
      throw badValue(`Invalid query string parameters: Expected 'member_of' parameter to contain valid UUID(s). Got: ${text}`)
    if (match[1]) wish.notMemberOf.push(...ids)
    else wish.memberOf.push(ids)
  }
  return wish
}

/** @throws Fault 400 */
export function parseTree(value: Query[string]): string | null {
  const [text, ...more] = listOf(value)
  if (text === undefined) return null
  if (more.length > 0 || !UUID.test(text)) throw badValue(`Expected 'in_tree' parameter to be a format of uuid. Got: ${text}`)
  return text
}

const PARAMETER = /^(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{0,64})$/

/** The groups of an allocation candidates query by their suffixes, the one without first. @throws Fault 400 */
export function parseWishes(query: Query, allowed: { forbidden: boolean; any: boolean }): Wish[] {
  const suffixes = new Set<string>()
  for (const name of Object.keys(query)) {
    const match = PARAMETER.exec(name)
    if (match) suffixes.add(match[2]!)
  }
  const wishes = [...suffixes].toSorted().map((suffix): Wish => {
    const resources = query[`resources${suffix}`]
    if (resources === undefined)
      throw badValue(`All traits, aggregates and trees must be associated with resources: resources${suffix} is missing.`)
    if (Array.isArray(resources)) throw badValue(`resources${suffix} may be there only once.`)
    return {
      suffix,
      resources: parseResources(String(resources)),
      ...parseRequired(query[`required${suffix}`], allowed),
      ...parseMemberOf(query[`member_of${suffix}`]),
      inTree: parseTree(query[`in_tree${suffix}`]),
    }
  })
  if (wishes.length === 0) throw badValue('At least one group of `resources` is required.')
  return wishes
}
