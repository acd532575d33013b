/** Attributes that identity has no use for and keeps for whoever sends them. */
export type Extra = Record<string, unknown>

export const extraIn = (row: { extra_json: string | null }): Extra => (row.extra_json ? JSON.parse(row.extra_json) : {})

/** Those there were, with those that are sent: null when there is none. */
export function extraOf(before: string | null, sent: Extra = {}): string | null {
  const all = { ...extraIn({ extra_json: before }), ...sent }
  return Object.keys(all).length > 0 ? JSON.stringify(all) : null
}
