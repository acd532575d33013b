import { badRequest } from '../../kernel/errors/errors.ts'
import type { ApiRequest } from '../../kernel/http/route.ts'

/** From which microversion on a body may have a property; `2.32-2.36` ends with the second. Several spans: one after the other. */
export type Since = Record<string, string | string[]>

/** Refuses properties that this request's microversion does not know, as unknown ones are. @throws Fault 400 naming the first */
export function refuseUnknown(request: ApiRequest, field: string, body: object | null | undefined, since: Since): void {
  for (const name of Object.keys(body ?? {})) {
    const spans = Object.hasOwn(since, name) ? [since[name]!].flat() : []
    if (spans.length > 0 && !spans.some((span) => within(request, span))) throw unexpected(field, name)
  }
}

function within({ version }: ApiRequest, span: string): boolean {
  const [from, until] = span.split('-')
  return version.atLeast(from!) && (until === undefined || version.atMost(until))
}

/** A property that this microversion does not have. */
export const unexpected = (field: string, name: string) =>
  badRequest(`Invalid input for field/attribute ${field}. Additional properties are not allowed ('${name}' was unexpected)`)

/** A property that this microversion must have. */
export const required = (field: string, name: string) =>
  badRequest(`Invalid input for field/attribute ${field}. '${name}' is a required property`)
