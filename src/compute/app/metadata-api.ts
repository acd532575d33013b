import { createHmac, timingSafeEqual } from 'node:crypto'
import { findInstance } from '../db/instances.ts'
import { guestFiles } from '../instance-metadata.ts'
import type { ComputeContext } from './context.ts'
import { specOf, vifsOf } from './instance-spec.ts'
import { keepPassword, LONGEST_PASSWORD, passwordOf } from './server-password.ts'

export interface MetadataRequest {
  method: string
  path: string
  headers: Record<string, string>
  body: Uint8Array
}

export interface MetadataAnswer {
  status: number
  headers: Record<string, string>
  body: string | Uint8Array
}

const text = (status: number, body: string): MetadataAnswer => ({ status, headers: { 'content-type': 'text/plain; charset=UTF-8' }, body })

/** Step 39's other end: tells a guest about itself, if the metadata proxy's signature vouches for who asks. */
export async function answerGuest(context: ComputeContext, secret: string, request: MetadataRequest): Promise<MetadataAnswer> {
  const id = request.headers['x-instance-id']
  if (!id || !vouched(secret, id, request.headers['x-instance-id-signature'])) return text(403, 'Invalid proxy request signature.\n')
  const posts = request.method === 'POST' && PASSWORD.test(request.path)
  if (!posts && request.method !== 'GET' && request.method !== 'HEAD')
    return text(405, 'Only GET is answered here, and POST of a password.\n')
  const row = await findInstance(context.database.db, id)
  if (!row || row.deleted) return text(404, 'There is no such instance.\n')
  if (request.headers['x-tenant-id'] && request.headers['x-tenant-id'] !== row.project_id) return text(404, 'There is no such instance.\n')
  if (posts) return await takePassword(context, id, Buffer.from(request.body).toString())
  const files = guestFiles(specOf(row), vifsOf(row))
  const password = await passwordOf(context.database.db, id)
  for (const version of [...files.keys()].flatMap((file) => WITH_PASSWORD.exec(file)?.[1] ?? []))
    files.set(`openstack/${version}/password`, password)
  return find(files, request.path)
}

const PASSWORD = /^\/+openstack\/+(latest|20(1[3-9]|[2-9]\d)-[\d-]+)\/+password$/
const WITH_PASSWORD = /^openstack\/(latest|2013-[\d-]+|201[4-9]-[\d-]+|20[2-9]\d-[\d-]+)\/meta_data\.json$/

async function takePassword(context: ComputeContext, id: string, password: string): Promise<MetadataAnswer> {
  if (password.length > LONGEST_PASSWORD) return text(400, `A password has ${LONGEST_PASSWORD} bytes at most.\n`)
  return (await keepPassword(context.database.db, id, password)) ? text(200, '') : text(409, 'There is a password already.\n')
}

function plain(path: string): string | null {
  try {
    return decodeURIComponent(path)
  } catch {
    return null
  }
}

/** A file, or the names below a directory: those of EC2 stand at the root, OpenStack's below /openstack. */
function find(files: Map<string, string | Buffer>, path: string): MetadataAnswer {
  const decoded = plain(path.split('?')[0]!)
  if (decoded === null) return text(400, 'That is no path.\n')
  const asked = decoded.replace(/\/{2,}/g, '/').replace(/^\//, '')
  const bare = asked.replace(/\/$/, '')
  const tree = bare === 'openstack' || bare.startsWith('openstack/') ? '' : 'ec2/'
  const content = files.get(`${tree}${bare}`) ?? files.get(`${tree}${bare}/`)
  if (content !== undefined) {
    const type = bare.endsWith('.json') ? 'application/json' : 'text/plain; charset=UTF-8'
    return { status: 200, headers: { 'content-type': type }, body: content }
  }
  const prefix = bare === '' ? tree : `${tree}${bare}/`
  const names = new Set<string>()
  for (const file of files.keys())
    if (file.startsWith(prefix)) {
      const [name, ...rest] = file.slice(prefix.length).split('/')
      if (name) names.add(rest.length > 0 && tree !== '' && bare !== '' ? `${name}/` : name)
    }
  if (bare === '') names.add('openstack')
  return names.size === 0 || (bare === '' && names.size === 1) ? text(404, 'Not found.\n') : text(200, [...names].sort().join('\n'))
}

/** Bytes are compared, not characters: a character that is two bytes would make one length of two. */
function vouched(secret: string, id: string, signature = ''): boolean {
  const [given, expected] = [Buffer.from(signature), Buffer.from(createHmac('sha256', secret).update(id).digest('hex'))]
  return given.length === expected.length && timingSafeEqual(given, expected)
}
