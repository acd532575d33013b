import type { Readable } from 'node:stream'
import { unavailable } from '../kernel/errors/errors.ts'
import { faultOf, must, type RestRequest, type RestTransport } from '../kernel/http/client.ts'
import type { ImageDocument, NewImageDocument } from './api/schemas.ts'

export type { ImageDocument, NewImageDocument }

export interface ImageChange {
  op: 'add' | 'replace' | 'remove'
  path: string
  value?: unknown
}

export interface CallAs {
  /** The user's own token; without it the service's. */
  token?: string | null
  requestId?: string
}

/** The image service, as the other services use it. All methods throw the image service's own Fault. */
export class ImageClient {
  private readonly transport: RestTransport
  private readonly session: { token(): Promise<string> }

  constructor(transport: RestTransport, session: { token(): Promise<string> }) {
    this.transport = transport
    this.session = session
  }

  /** @throws Fault 404 */
  async image(id: string, as?: CallAs): Promise<ImageDocument> {
    return await this.json({ method: 'GET', path: `/image/v2/images/${encodeURIComponent(id)}` }, as)
  }

  /** All that fit the filters, page after page. */
  async images(query: Record<string, string> = {}, as?: CallAs): Promise<ImageDocument[]> {
    const all: ImageDocument[] = []
    for (let marker: string | undefined; ; marker = all.at(-1)!.id) {
      const page = await this.json(
        { method: 'GET', path: '/image/v2/images', query: { limit: '1000', ...query, ...(marker ? { marker } : {}) } },
        as,
      )
      all.push(...page.images)
      if (!page.next) return all
    }
  }

  async create(body: NewImageDocument, as?: CallAs): Promise<ImageDocument> {
    return await this.json({ method: 'POST', path: '/image/v2/images', body }, as)
  }

  /** Resolves when the image is active: the data has been looked at then. @throws Fault 400, 409, 413 or 415; the image is queued again then */
  async upload(id: string, data: Readable | Uint8Array, as?: CallAs): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' }
    await this.json({ method: 'PUT', path: `/image/v2/images/${encodeURIComponent(id)}/file`, data, headers }, as)
  }

  /** The data as it comes; not buffered. @throws Fault 404, 403 (deactivated), 503 when there is no data yet */
  async download(id: string, as?: CallAs): Promise<Readable> {
    const answer = await this.transport.stream(
      await this.signed({ method: 'GET', path: `/image/v2/images/${encodeURIComponent(id)}/file` }, as),
    )
    if (answer.status === 200) return answer.body
    if (answer.status === 204) throw unavailable(`Image ${id} has no data yet.`, 'ImageNotActive')
    throw faultOf(answer.status, await readJson(answer.body))
  }

  async update(id: string, changes: ImageChange[], as?: CallAs): Promise<ImageDocument> {
    const headers = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
    return await this.json({ method: 'PATCH', path: `/image/v2/images/${encodeURIComponent(id)}`, body: changes, headers }, as)
  }

  /** An image that is not there any more is fine. */
  async remove(id: string, as?: CallAs): Promise<void> {
    const answer = await this.transport.send(
      await this.signed({ method: 'DELETE', path: `/image/v2/images/${encodeURIComponent(id)}` }, as),
    )
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer.status, answer.body)
  }

  /** Any other request, for routes that only pass on; the path begins like `/images` below /image/v2. */
  async forward(request: Pick<RestRequest, 'method' | 'path' | 'query' | 'body'>, as: CallAs): Promise<any> {
    return await this.json({ ...request, path: `/image/v2${request.path}` }, as)
  }

  private async json(request: RestRequest, as?: CallAs): Promise<any> {
    return await must(this.transport.send(await this.signed(request, as)))
  }

  private async signed(request: RestRequest, as: CallAs = {}): Promise<RestRequest> {
    return { ...request, token: as.token ?? (await this.session.token()), requestId: as.requestId }
  }
}

async function readJson(stream: Readable): Promise<unknown> {
  const text = Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>)).toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
