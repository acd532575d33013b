import { createHmac, timingSafeEqual } from 'node:crypto'

/** What proves to the metadata API that a request was made on behalf of this instance: HMAC-SHA256 of its id under the secret both sides share, in hex. */
export const signInstance = (secret: string, instanceId: string): string => createHmac('sha256', secret).update(instanceId).digest('hex')

/** In constant time. */
export function isSignedBy(secret: string, instanceId: string, signature: string): boolean {
  const [given, right] = [Buffer.from(signature), Buffer.from(signInstance(secret, instanceId))]
  return given.length === right.length && timingSafeEqual(given, right)
}
