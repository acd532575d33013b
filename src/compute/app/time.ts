import { badRequest } from '../../kernel/errors/errors.ts'

/** As Nova's older parts write times: no zone, microseconds. */
export const micro = (time: string | null) => (time === null ? null : `${time.slice(0, 23)}000`)

const ISO_8601 = /^\d{4}-?\d\d(-?\d\d)?([T ]\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?)?(Z|[+-]\d\d(:?\d\d)?)?$/

/** The time that a query parameter names, UTC where it does not say; as rows have it. @throws Fault 400 for what ISO 8601 does not write so */
export function timeOf(name: string, text: string): string {
  const at = ISO_8601.test(text)
    ? Date.parse(/T.*(Z|[+-]\d\d(:?\d\d)?)$/.test(text) || !/[T ]/.test(text) ? text : `${text.replace(/Z$/, '')}Z`)
    : Number.NaN
  if (Number.isNaN(at)) throw badRequest(`Invalid input for query parameters ${name}. Value: ${text}. It is not a date-time`)
  return new Date(at).toISOString()
}
