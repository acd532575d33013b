import { createContext, Script } from 'node:vm'
import { badRequest } from '../../kernel/errors/errors.ts'

/** ms that a user's pattern may take: some backtrack for ever, and everybody would wait. */
const PATIENCE = 200
const world = createContext({})
const script = new Script('{ const pattern = new RegExp(source); texts.map((text) => pattern.test(text)) }')

/** Which of the texts the pattern finds itself in. @throws Fault 400 when that takes too long */
export function fitting(source: string, texts: string[]): boolean[] {
  Object.assign(world, { source, texts })
  try {
    return script.runInContext(world, { timeout: PATIENCE })
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw badRequest(`The pattern ${source} takes too long: write a simpler one.`)
  }
}
