import { Fault } from '../kernel/errors/errors.ts'
import { faultOf, must, type RestRequest, type RestTransport } from '../kernel/http/client.ts'
import type { MessageDocument } from './api/answers.ts'
import type { AttachmentDocument, NewVolumeDocument, SnapshotDocument, VolumeDocument } from './api/schemas.ts'

export type { AttachmentDocument, MessageDocument, NewVolumeDocument, SnapshotDocument, VolumeDocument }

export interface CallAs {
  /** The user's own token; without it the service's. */
  token?: string | null
  requestId?: string
}

const PREFIX = '/volume/v3'
/** Ids that fit into an address. */
const PORTION = 50

/** The volume service, as the other services use it. All methods throw the volume service's own Fault. */
export class VolumeClient {
  private readonly transport: RestTransport
  private readonly session: { token(): Promise<string> }

  constructor(transport: RestTransport, session: { token(): Promise<string> }) {
    this.transport = transport
    this.session = session
  }

  /** @throws Fault 404 */
  async volume(id: string, as?: CallAs): Promise<VolumeDocument> {
    return (await this.json({ method: 'GET', path: `/volumes/${encodeURIComponent(id)}` }, as)).volume
  }

  /** Those of these that may be seen, asked for at once. */
  async volumesById(ids: string[], as?: CallAs): Promise<Map<string, VolumeDocument>> {
    return await this.byId('volumes', ids, as)
  }

  /** All that fit the filters, page after page. */
  async volumes(query: Record<string, string> = {}, as?: CallAs): Promise<VolumeDocument[]> {
    const all: VolumeDocument[] = []
    for (let marker: string | undefined; ; marker = all.at(-1)!.id) {
      const page = await this.json(
        { method: 'GET', path: '/volumes/detail', query: { limit: '1000', ...query, ...(marker ? { marker } : {}) } },
        as,
      )
      all.push(...page.volumes)
      if (!page.volumes_links) return all
    }
  }

  /** Accepted, not made yet: its status tells. @throws Fault 400, 413 over quota */
  async createVolume(volume: NewVolumeDocument, as?: CallAs): Promise<VolumeDocument> {
    return (await this.json({ method: 'POST', path: '/volumes', body: { volume } }, as)).volume
  }

  /** One that is not there any more is fine. Told twice, it is on its way out the second time. */
  async deleteVolume(id: string, as?: CallAs): Promise<void> {
    try {
      await this.gone(`/volumes/${encodeURIComponent(id)}`, as)
    } catch (error) {
      if (!(error instanceof Fault && error.status === 400)) throw error
      const answer = await this.transport.send(await this.signed({ method: 'GET', path: `/volumes/${encodeURIComponent(id)}` }, as))
      if (answer.status !== 404 && answer.body?.volume?.status !== 'deleting') throw error
    }
  }

  /** Begins to write another image onto a volume that is reserved: its status tells, and why it failed `messages`. @throws Fault 400, 404, 409 */
  async reimageVolume(id: string, imageId: string, as?: CallAs): Promise<void> {
    const body = { 'os-reimage': { image_id: imageId, reimage_reserved: true } }
    await this.json({ method: 'POST', path: `/volumes/${encodeURIComponent(id)}/action`, body }, as)
  }

  /** Why something that was accepted of this volume did not come to be, newest first. */
  async messages(volumeId: string, as?: CallAs): Promise<MessageDocument[]> {
    const query = { resource_uuid: volumeId, sort: 'created_at:desc', all_tenants: '1' }
    return (await this.json({ method: 'GET', path: '/messages', query }, as)).messages
  }

  /** `force`: also of a volume in use. `id`: named before it exists, by a service; the same again answers the snapshot that is there. */
  async createSnapshot(
    snapshot: { id?: string; volume_id: string; name?: string; description?: string; metadata?: Record<string, string>; force?: boolean },
    as?: CallAs,
  ): Promise<SnapshotDocument> {
    return (await this.json({ method: 'POST', path: '/snapshots', body: { snapshot } }, as)).snapshot
  }

  /** @throws Fault 404 */
  async snapshot(id: string, as?: CallAs): Promise<SnapshotDocument> {
    return (await this.json({ method: 'GET', path: `/snapshots/${encodeURIComponent(id)}` }, as)).snapshot
  }

  /** Those of these that may be seen, asked for at once. */
  async snapshotsById(ids: string[], as?: CallAs): Promise<Map<string, SnapshotDocument>> {
    return await this.byId('snapshots', ids, as)
  }

  /** One that is not there any more is fine. */
  async deleteSnapshot(id: string, as?: CallAs): Promise<void> {
    await this.gone(`/snapshots/${encodeURIComponent(id)}`, as)
  }

  /** Reserves the volume, or with a connector exports it at once. With the same `id` again it answers the attachment that is there. */
  async createAttachment(
    attachment: { volume_uuid: string; instance_uuid: string; connector?: Record<string, unknown>; id?: string; mode?: 'rw' | 'ro' },
    as?: CallAs,
  ): Promise<AttachmentDocument> {
    return (await this.json({ method: 'POST', path: '/attachments', body: { attachment } }, as)).attachment
  }

  /** Exports the volume to who has this connector; may be repeated. */
  async updateAttachment(id: string, connector: Record<string, unknown>, as?: CallAs): Promise<AttachmentDocument> {
    const body = { attachment: { connector } }
    return (await this.json({ method: 'PUT', path: `/attachments/${encodeURIComponent(id)}`, body }, as)).attachment
  }

  /** The guest has it. */
  async completeAttachment(id: string, as?: CallAs): Promise<void> {
    await this.json({ method: 'POST', path: `/attachments/${encodeURIComponent(id)}/action`, body: { 'os-complete': null } }, as)
  }

  /** One that is not there any more is fine. */
  async deleteAttachment(id: string, as?: CallAs): Promise<void> {
    await this.gone(`/attachments/${encodeURIComponent(id)}`, as)
  }

  /** Keeps others from it until it is detached, or {@link rollDetaching}. Told twice, it is on its way out the second time. @throws Fault 400 when it is not in use */
  async beginDetaching(id: string, as?: CallAs): Promise<void> {
    try {
      await this.act(id, { 'os-begin_detaching': null }, as)
    } catch (error) {
      if (!(error instanceof Fault && error.status === 400) || (await this.volume(id, as)).status !== 'detaching') throw error
    }
  }

  /** It stays attached after all. One that is not there any more is fine. */
  async rollDetaching(id: string, as?: CallAs): Promise<void> {
    try {
      await this.act(id, { 'os-roll_detaching': null }, as)
    } catch (error) {
      if (!(error instanceof Fault && error.status === 404)) throw error
    }
  }

  async attachments(query: Record<string, string> = {}, as?: CallAs): Promise<AttachmentDocument[]> {
    return (await this.json({ method: 'GET', path: '/attachments/detail', query: { limit: '1000', ...query } }, as)).attachments
  }

  /** Any other request, for routes that only pass on; the path begins like `/snapshots` below /volume/v3. */
  async forward(request: Pick<RestRequest, 'method' | 'path' | 'query' | 'body'>, as: CallAs): Promise<any> {
    return await this.json(request, as)
  }

  private async act(id: string, body: Record<string, unknown>, as?: CallAs): Promise<void> {
    await this.json({ method: 'POST', path: `/volumes/${encodeURIComponent(id)}/action`, body }, as)
  }

  private async byId(kind: 'volumes' | 'snapshots', ids: string[], as?: CallAs): Promise<Map<string, any>> {
    const found = new Map<string, any>()
    for (let at = 0; at < ids.length; at += PORTION) {
      const query = { id: ids.slice(at, at + PORTION), all_tenants: 'true' }
      for (const one of (await this.json({ method: 'GET', path: `/${kind}/detail`, query }, as))[kind]) found.set(one.id, one)
    }
    return found
  }

  private async gone(path: string, as?: CallAs): Promise<void> {
    const answer = await this.transport.send(await this.signed({ method: 'DELETE', path }, as))
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer.status, answer.body)
  }

  private async json(request: RestRequest, as?: CallAs): Promise<any> {
    return await must(this.transport.send(await this.signed(request, as)))
  }

  private async signed(request: RestRequest, as: CallAs = {}): Promise<RestRequest> {
    return {
      ...request,
      path: PREFIX + request.path,
      token: as.token ?? (await this.session.token()),
      requestId: as.requestId,
      headers: { ...request.headers, 'openstack-api-version': 'volume 3.70' },
    }
  }
}
