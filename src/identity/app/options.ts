/** What makes a user other than the rules make all. */
export interface UserOptions {
  ignore_change_password_upon_first_use?: boolean
  ignore_password_expiry?: boolean
  ignore_lockout_failure_attempts?: boolean
  lock_password?: boolean
  ignore_user_inactivity?: boolean
  multi_factor_auth_enabled?: boolean
  /** Each names methods of authentication that together are enough. */
  multi_factor_auth_rules?: string[][]
}

/** Null takes an option away. */
export type Sent<Options> = { [Name in keyof Options]: Options[Name] | null }

export interface OptionsRow {
  options_json: string | null
}

export const optionsIn = <Options = UserOptions>(row: OptionsRow): Options => JSON.parse(row.options_json ?? '{}')

/** Those there were, with those that are sent; null when there is none. */
export function optionsOf(before: string | null, sent: object = {}): string | null {
  const all = Object.entries({ ...optionsIn<object>({ options_json: before }), ...sent }).filter(([, value]) => value !== null)
  return all.length > 0 ? JSON.stringify(Object.fromEntries(all)) : null
}
