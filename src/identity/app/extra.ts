/** Attributes that identity has no use for and keeps for whoever sends them. */
export type Extra = Record<string, unknown>

export const extraIn = (row: { extra_json: string | null }): Extra => (row.extra_json ? JSON.parse(row.extra_json) : {})

/** Those there were, with those that are sent: null when there is none. */
export function extraOf(before: string | null, sent: Extra = {}): string | null {
  const all = { ...extraIn({ extra_json: before }), ...sent }
  return Object.keys(all).length > 0 ? JSON.stringify(all) : null
}

/** Those of the `names` that are sent, as they are. */
export const sentOf = <T extends object, K extends keyof T>(input: T, names: K[]) =>
  Object.fromEntries(names.flatMap((name) => (input[name] === undefined ? [] : [[name, input[name]]]))) as {
    [N in K]?: Exclude<T[N], undefined>
  }
