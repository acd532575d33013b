import { createHash, generateKeyPairSync } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { nextNumber } from '../db/handle.ts'
import type { KeypairRow } from '../db/tables.ts'
import { makeCertificate } from './certificate.ts'
import type { ComputeContext } from './context.ts'
import { limitsOf, takeTurn } from './quota.ts'

/** @throws Fault 400 for what is no key, 403 over quota, 409 for a name that is taken */
export async function createKeypair(
  context: ComputeContext,
  owner: { userId: string; projectId: string },
  wanted: { name: string; type: string; publicKey?: string },
): Promise<{ keypair: KeypairRow; privateKey: string | null }> {
  const made = wanted.publicKey ? null : wanted.type === 'x509' ? await makeCertificate(owner.userId) : generate()
  const publicKey = (wanted.publicKey ?? made!.publicKey).trim()
  const keypair: KeypairRow = {
    user_id: owner.userId,
    name: wanted.name,
    number: 0,
    type: wanted.type,
    public_key: publicKey,
    fingerprint: wanted.type === 'x509' ? sha1Fingerprint(publicKey) : fingerprint(publicKey),
    created_at: timestamp(),
  }
  await context.database.transaction(async (trx) => {
    await takeTurn(trx, `user:${owner.userId}`)
    const mine = await trx.selectFrom('keypairs').select('name').where('user_id', '=', owner.userId).execute()
    if (mine.some((one) => one.name === wanted.name)) throw conflict(`Key pair '${wanted.name}' already exists.`, 'KeyPairExists')
    const limit = (await limitsOf(trx, owner.projectId)).key_pairs
    if (limit >= 0 && mine.length >= limit) throw new Fault(403, 'KeypairLimitExceeded', 'Quota exceeded, too many key pairs.')
    keypair.number = await nextNumber(trx, 'keypairs')
    await trx.insertInto('keypairs').values(keypair).execute()
  })
  return { keypair, privateKey: made?.privateKey ?? null }
}

export async function listKeypairs(context: ComputeContext, userId: string): Promise<KeypairRow[]> {
  return await context.database.db.selectFrom('keypairs').selectAll().where('user_id', '=', userId).orderBy('name').execute()
}

export async function findKeypair(context: ComputeContext, userId: string, name: string): Promise<KeypairRow> {
  const row = await context.database.db
    .selectFrom('keypairs')
    .selectAll()
    .where('user_id', '=', userId)
    .where('name', '=', name)
    .executeTakeFirst()
  if (!row) throw notFound(`Keypair ${name} not found for user ${userId}`, 'KeypairNotFound')
  return row
}

export async function deleteKeypair(context: ComputeContext, userId: string, name: string): Promise<void> {
  await findKeypair(context, userId, name)
  await context.database.db.deleteFrom('keypairs').where('user_id', '=', userId).where('name', '=', name).execute()
}

/** MD5 of the key's own bytes, as ssh-keygen -E md5 shows it. @throws Fault 400 */
function fingerprint(publicKey: string): string {
  const [kind, data] = publicKey.split(/\s+/)
  const bytes = Buffer.from(data ?? '', 'base64')
  const named = bytes.length > 4 ? bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString() : ''
  if (!kind || named !== kind)
    throw badRequest('Keypair data is invalid: failed to generate fingerprint (an OpenSSH public key is "ssh-ed25519 AAAA... name").')
  return colons(createHash('md5').update(bytes).digest('hex'))
}

const sha1Fingerprint = (certificate: string) => {
  const body = certificate.replace(/-----[^-]+-----|\s/g, '')
  return colons(createHash('sha1').update(Buffer.from(body, 'base64')).digest('hex'))
}

const colons = (hex: string) => hex.match(/../g)!.join(':')

/** An ECDSA P-256 key: small, quick to make, and a form of it (SEC 1 in PEM) that ssh reads as it is. */
function generate(): { publicKey: string; privateKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')])
  const blob = Buffer.concat([field('ecdsa-sha2-nistp256'), field('nistp256'), field(point)])
  return {
    publicKey: `ecdsa-sha2-nistp256 ${blob.toString('base64')} Generated-by-Yun`,
    privateKey: privateKey.export({ type: 'sec1', format: 'pem' }) as string,
  }
}

function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
