import { Fault } from '../errors/errors.ts'

/** The credentials that rules look at; names as in oslo.policy. */
export interface PolicyCredentials {
  user_id: string | null
  project_id: string | null
  domain_id: string | null
  user_domain_id: string | null
  roles: string[]
  service_roles: string[]
  is_admin: boolean
  system_scope: string | null
  [attribute: string]: unknown
}

export type Target = Record<string, unknown>
export type Check = (credentials: PolicyCredentials, target: Target, rules: Rules, depth: number) => boolean
type Rules = Map<string, Check>

export interface Decision {
  allowed: boolean
  rule: string
  /** The rule's text: what a refused user is told. */
  text: string
}

/** One service's rules: defaults in code, overridden by the lines of a policy file (oslo.policy's language). */
export class Policy {
  private readonly checks: Rules = new Map()
  private readonly texts = new Map<string, string>()

  /** @throws Fault 500 PolicyFile naming the rule that cannot be parsed */
  constructor(defaults: Record<string, string>, overrides: Record<string, string> = {}) {
    for (const [name, text] of Object.entries({ ...defaults, ...overrides })) this.set(name, text)
  }

  set(name: string, text: string): void {
    try {
      this.checks.set(name, parse(text))
    } catch (error) {
      throw new Fault(500, 'PolicyFile', `policy rule "${name}": ${(error as Error).message} in "${text}"`)
    }
    this.texts.set(name, text)
  }

  names(): string[] {
    return [...this.checks.keys()]
  }

  /** An unknown rule refuses: a typing error must not open a door. */
  decide(rule: string, credentials: PolicyCredentials, target: Target): Decision {
    const check = this.checks.get(rule) ?? this.checks.get('default')
    const allowed = check ? check(credentials, target, this.checks, 0) : false
    return { allowed, rule, text: this.texts.get(rule) ?? '(no such rule)' }
  }
}

const everyone: Check = () => true
const nobody: Check = () => false

/** Parses one rule of the language: `rule:`, `role:`, `a:%(b)s`, `'lit':%(b)s`, `@`, `!`, and, or, not, parentheses. @throws Error with the reason */
export function parse(text: string): Check {
  const tokens = text.match(/\(|\)|'[^']*':(?:%\([^)]*\)s|[^\s()]+)|%\([^)]*\)s|[^\s()%]+(?:%\([^)]*\)s)?/g) ?? []
  if (tokens.length === 0) return everyone
  let at = 0
  const peek = () => tokens[at]?.toLowerCase()

  const disjunction = (): Check => {
    const parts = [conjunction()]
    while (peek() === 'or') {
      at++
      parts.push(conjunction())
    }
    return parts.length === 1 ? parts[0]! : (c, t, r, d) => parts.some((part) => part(c, t, r, d))
  }
  const conjunction = (): Check => {
    const parts = [negation()]
    while (peek() === 'and') {
      at++
      parts.push(negation())
    }
    return parts.length === 1 ? parts[0]! : (c, t, r, d) => parts.every((part) => part(c, t, r, d))
  }
  const negation = (): Check => {
    if (peek() !== 'not') return atom()
    at++
    const inner = negation()
    return (c, t, r, d) => !inner(c, t, r, d)
  }
  const atom = (): Check => {
    const token = tokens[at++]
    if (token === undefined) throw new Error('the rule ends where a check is needed')
    if (token === '(') {
      const inner = disjunction()
      if (tokens[at++] !== ')') throw new Error('a parenthesis is not closed')
      return inner
    }
    return check(token)
  }

  const result = disjunction()
  if (at !== tokens.length) throw new Error(`"${tokens[at]}" is not expected here`)
  return result
}

function check(token: string): Check {
  if (token === '@') return everyone
  if (token === '!') return nobody
  const colon = token.indexOf(':', token.startsWith("'") ? token.indexOf("'", 1) : 0)
  if (colon < 1) throw new Error(`"${token}" is no check (kind:value)`)
  const kind = token.slice(0, colon)
  const value = token.slice(colon + 1)
  if (kind === 'rule')
    return (c, t, rules, depth) => {
      if (depth > 32) throw new Fault(500, 'PolicyFile', `policy rule "${value}" refers to itself`)
      return rules.get(value)?.(c, t, rules, depth + 1) ?? false
    }
  const wantedOf = filled(value)
  if (kind === 'role')
    return (c, t) => {
      const wanted = String(wantedOf(t)).toLowerCase()
      return c.roles.some((role) => role.toLowerCase() === wanted)
    }
  if (kind === 'http' || kind === 'https') throw new Error('checks by an HTTP server are not supported')
  return (c, t) => {
    const wanted = wantedOf(t)
    if (wanted === undefined) return false
    const have = kind.startsWith("'") ? kind.slice(1, -1) : attribute(c, kind)
    if (Array.isArray(have)) return have.map(String).includes(String(wanted))
    return have !== undefined && have !== null && pythonText(have) === pythonText(wanted)
  }
}

/** What a value stands for: an attribute of the target, or itself. */
function filled(value: string): (target: Target) => unknown {
  const name = /^%\((.*)\)s$/.exec(value)?.[1]
  if (name !== undefined) return (target) => attribute(target, name) ?? undefined
  const literal = value.replace(/^'(.*)'$/, '$1')
  return () => literal
}

/** `target.project.id` of a nested object, or the key itself if the object is flat. */
function attribute(from: Record<string, unknown>, path: string): unknown {
  if (path in from) return from[path]
  return path.split('.').reduce<any>((value, key) => (value === null || value === undefined ? undefined : value[key]), from)
}

const pythonText = (value: unknown) => (value === true ? 'True' : value === false ? 'False' : value === null ? 'None' : String(value))
