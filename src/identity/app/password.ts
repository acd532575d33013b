import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

/** About 50 ms and 32 MiB on a core of 2020s make; runs off the event loop. */
const COST = { N: 32_768, r: 8, p: 1, maxmem: 128 * 1024 * 1024 }

const derive = (password: string, salt: Buffer, cost: typeof COST) =>
  new Promise<Buffer>((resolve, reject) => scrypt(password, salt, 32, cost, (error, key) => (error ? reject(error) : resolve(key))))

/** For secrets that were drawn, not chosen: nobody guesses 144 random bits, however cheap a guess is. */
const COST_OF_RANDOM = { ...COST, N: 1024 }

export async function hashPassword(password: string, { random = false } = {}): Promise<string> {
  const salt = randomBytes(16)
  const cost = random ? COST_OF_RANDOM : COST
  return `$scrypt$${cost.N}$${cost.r}$${cost.p}$${salt.toString('base64url')}$${(await derive(password, salt, cost)).toString('base64url')}`
}

let nobody: Promise<string> | undefined

/** Takes as long for a user that does not exist (null) as for one that does. */
export async function checkPassword(password: string, hash: string | null): Promise<boolean> {
  const [, , N, r, p, salt, key] = (hash ?? (await theirs())).split('$')
  const derived = await derive(password, Buffer.from(salt!, 'base64url'), { ...COST, N: Number(N), r: Number(r), p: Number(p) })
  return timingSafeEqual(derived, Buffer.from(key!, 'base64url')) && hash !== null
}

/** The hash of a user that does not exist. */
function theirs(): Promise<string> {
  nobody ??= hashPassword('nobody')
  return nobody
}
