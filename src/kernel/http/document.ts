import { Fault } from '../errors/errors.ts'

/** Lists and objects within each other. What is deeper than this was made to exhaust the stack of whoever goes through it. */
const DEEPEST = 100
/** Of a name that would change what every object has, and of halves of surrogate pairs: also where letters are written as numbers. */
const SUSPICIOUS = /__proto__|\\u(00|d[89a-f])/i

/** A JSON document as it was sent; undefined when nothing was. @throws Fault 400 */
export function parseDocument(text: string): unknown {
  if (text === '') return undefined
  if (isTooDeep(text)) throw malformed(`more than ${DEEPEST} lists and objects within each other`)
  try {
    return SUSPICIOUS.test(text) ? JSON.parse(text, cleaned) : JSON.parse(text)
  } catch (error) {
    throw malformed((error as Error).message)
  }
}

function cleaned(key: string, value: unknown): unknown {
  if (key === '__proto__') return undefined
  if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) throw new Error('half of a surrogate pair is no text')
  return value
}

function isTooDeep(text: string): boolean {
  if (text.length < 2 * DEEPEST) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '"') at = endOfText(text, at)
    else if (character === '[' || character === '{') {
      if (++depth > DEEPEST) return true
    } else if (character === ']' || character === '}') depth--
  }
  return false
}

/** Where the quotes that begin at `from` end. */
function endOfText(text: string, from: number): number {
  for (let at = from + 1; ; ) {
    const end = text.indexOf('"', at)
    if (end < 0) return text.length
    let backslashes = 0
    while (text[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end
    at = end + 1
  }
}

const malformed = (why: string) => new Fault(400, 'MalformedRequestBody', `Malformed request body: ${why}`)
