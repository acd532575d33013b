import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The Fernet format (version 0x80, AES-128-CBC, HMAC-SHA256): `key` is 32 bytes, 16 to sign and 16 to encrypt. */
export function seal(key: Buffer, message: Buffer, at: number = Date.now()): string {
  const head = Buffer.alloc(25)
  head[0] = 0x80
  head.writeBigUInt64BE(BigInt(Math.floor(at / 1000)), 1)
  randomBytes(16).copy(head, 9)
  const cipher = createCipheriv('aes-128-cbc', key.subarray(16), head.subarray(9))
  const body = Buffer.concat([head, cipher.update(message), cipher.final()])
  return Buffer.concat([body, createHmac('sha256', key.subarray(0, 16)).update(body).digest()]).toString('base64url')
}

/** Null when `token` was not sealed by any of the keys. */
export function unseal(keys: Buffer[], token: string): { message: Buffer; at: number } | null {
  const raw = Buffer.from(token, 'base64url')
  if (raw.length < 73 || raw[0] !== 0x80) return null
  const body = raw.subarray(0, -32)
  for (const key of keys) {
    if (!timingSafeEqual(createHmac('sha256', key.subarray(0, 16)).update(body).digest(), raw.subarray(-32))) continue
    const decipher = createDecipheriv('aes-128-cbc', key.subarray(16), raw.subarray(9, 25))
    return { message: Buffer.concat([decipher.update(body.subarray(25)), decipher.final()]), at: Number(raw.readBigUInt64BE(1)) * 1000 }
  }
  return null
}

/** Keys as numbered files, as in Keystone: the highest seals, all unseal, 0 is the next to become highest. Made at first use, mode 0600. */
export class KeyRing {
  private readonly dir: string
  private keys: Buffer[] = []

  constructor(dir: string) {
    this.dir = dir
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    if (this.files().length === 0) this.make()
    this.load()
  }

  /** Of several processes that start at once one makes them, all of them at one stroke. */
  private make(): void {
    const own = mkdtempSync(`${this.dir}.`)
    for (const n of [0, 1]) this.write(n, own)
    try {
      renameSync(own, this.dir)
    } catch (error) {
      rmSync(own, { recursive: true })
      if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }

  get primary(): Buffer {
    return this.keys[0]!
  }
  get all(): Buffer[] {
    return this.keys
  }

  /** The staged key becomes primary, a new one is staged, and the oldest beyond `keep` are forgotten. */
  rotate(keep = 3): void {
    const highest = Math.max(...this.files())
    renameSync(join(this.dir, '0'), join(this.dir, String(highest + 1)))
    this.write(0)
    for (const old of this.files()
      .filter((n) => n > 0)
      .sort((a, b) => b - a)
      .slice(keep))
      rmSync(join(this.dir, String(old)))
    this.load()
  }

  private files(): number[] {
    return readdirSync(this.dir)
      .filter((file) => /^\d+$/.test(file))
      .map(Number)
  }
  private write(n: number, dir = this.dir): void {
    writeFileSync(join(dir, String(n)), randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' })
  }
  private load(): void {
    this.keys = this.files()
      .sort((a, b) => b - a)
      .map((n) => Buffer.from(readFileSync(join(this.dir, String(n)), 'utf8'), 'base64url'))
  }
}
