import { setTimeout as pause } from 'node:timers/promises'
import { Api } from '../src/cli/api.ts'

/** A create that takes longer is asked where its time went. */
const SLOW_MS = 3_000

export interface Counts {
  reads: number
  readsFailed: number
  writes: number
  writesFailed: number
  /** Servers that were accepted and became ACTIVE. */
  made: number
  /** Servers that were accepted and ended in ERROR: told so, with a reason. */
  errors: number
  /** Servers that were accepted and are not there, though nobody deleted them. */
  lost: number
  /** Why requests failed, and how often. */
  why: Map<string, number>
}

/** Users that create servers, give some of them a volume, delete them, and others that only look. */
export class Load {
  readonly counts: Counts = { reads: 0, readsFailed: 0, writes: 0, writesFailed: 0, made: 0, errors: 0, lost: 0, why: new Map() }
  /** performance.now() of each create that worked: when it was asked for and when it was there. */
  private readonly worked: { began: number; ended: number }[] = []
  /** Of the server that took longest: ms, and where most of it went if it was much. */
  slowest = { ms: 0, where: '' }
  private readonly api: Api
  private readonly parts: { image: string; flavor: string; network: string; volume: string }
  private stopped = false
  private running: Promise<unknown>[] = []

  private constructor(api: Api, parts: Load['parts']) {
    this.api = api
    this.parts = parts
  }

  static async prepare(login: { url: string; password: string }): Promise<Load> {
    const api = new Api({ ...login, username: 'admin', project: 'demo' })
    const image = await api.post('/image/v2/images', { name: 'chaos', disk_format: 'raw', container_format: 'bare' })
    await api.upload(`/image/v2/images/${image.id}/file`, new Uint8Array(1 << 20), 1 << 20)
    const { flavor } = await api.post('/compute/v2.1/flavors', { flavor: { name: 'chaos', ram: 64, vcpus: 1, disk: 1 } })
    const { network } = await api.post('/network/v2.0/networks', { network: { name: 'chaos' } })
    await api.post('/network/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.77.0.0/22' } })
    const { volume } = await api.post('/volume/v3/volumes', { volume: { size: 1, name: 'chaos' } })
    const project = (await api.get('/identity/v3/projects?name=demo')).projects[0].id
    await api.put(`/compute/v2.1/os-quota-sets/${project}`, { quota_set: { instances: -1, cores: -1, ram: -1 } })
    await api.put(`/network/v2.0/quotas/${project}`, { quota: { port: -1 } })
    return new Load(api, { image: image.id, flavor: flavor.id, network: network.id, volume: volume.id })
  }

  start(workers: number): void {
    this.running = [...Array.from({ length: workers }, (_, i) => this.work(i)), this.look()]
  }

  /** One more user, who comes once: those of {@link start} may all be waiting for what they had asked for before. */
  newcomer(): void {
    this.running.push(this.visit(`chaos-newcomer-${this.running.length}`, false))
  }

  async stop(): Promise<void> {
    this.stopped = true
    await Promise.all(this.running)
  }

  /** The same users with the same means, who have seen nothing yet. */
  again(): Load {
    return new Load(this.api, this.parts)
  }

  /** ms from `since` until a create that began after it had worked; null while none has. */
  workedAgain(since: number): number | null {
    const ends = this.worked.filter(({ began }) => began > since).map(({ ended }) => ended)
    return ends.length > 0 ? Math.min(...ends) - since : null
  }

  private failed(error: unknown): void {
    const why = String((error as Error).message).slice(0, 160)
    this.counts.why.set(why, (this.counts.why.get(why) ?? 0) + 1)
  }

  private async look(): Promise<void> {
    while (!this.stopped) {
      await this.read('/compute/v2.1/servers/detail')
      await pause(50)
    }
  }

  private async read(path: string): Promise<any> {
    this.counts.reads++
    try {
      return await this.api.get(path)
    } catch (error) {
      if ((error as { status?: number }).status === 404) return null
      this.counts.readsFailed++
      this.failed(error)
      return undefined
    }
  }

  private async write(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<any> {
    this.counts.writes++
    try {
      return (await this.api.call(method, path, body)) ?? {}
    } catch (error) {
      this.counts.writesFailed++
      this.failed(error)
      return null
    }
  }

  private async work(number: number): Promise<void> {
    for (let i = 0; !this.stopped; i++) await this.visit(`chaos-${number}-${i}`, number === 0)
  }

  /** Makes a server, waits for what becomes of it, and deletes it. */
  private async visit(name: string, withVolume: boolean): Promise<void> {
    const began = performance.now()
    const made = await this.write('POST', '/compute/v2.1/servers', {
      server: {
        name,
        imageRef: this.parts.image,
        flavorRef: this.parts.flavor,
        networks: [{ uuid: this.parts.network }],
      },
    })
    if (!made) return await pause(100)
    const { id } = made.server
    const status = await this.settles(id)
    if (status === 'ACTIVE') {
      this.counts.made++
      const ended = performance.now()
      this.worked.push({ began, ended })
      if (ended - began > this.slowest.ms)
        this.slowest = { ms: ended - began, where: ended - began > SLOW_MS ? await this.longest(id) : '' }
    } else if (status === 'ERROR') this.counts.errors++
    else if (status === null) this.counts.lost++
    if (status === 'ACTIVE' && withVolume) await this.borrowVolume(id)
    if (status !== null) await this.remove(id)
  }

  /** A delete that failed is told as ERROR, and asked for again. */
  private async remove(id: string): Promise<void> {
    const path = `/compute/v2.1/servers/${id}`
    let asked = await this.write('DELETE', path)
    for (;;) {
      const seen = await this.read(path)
      if (seen === null) return
      const gaveUp = asked !== null && seen?.server.status === 'ERROR' && seen.server['OS-EXT-STS:task_state'] === null
      if (gaveUp) this.counts.errors++
      if (gaveUp || asked === null) asked = await this.write('DELETE', path)
      await pause(50)
    }
  }

  /** ACTIVE, ERROR, or null when it is not there. */
  private async settles(id: string): Promise<string | null> {
    for (;;) {
      const seen = await this.read(`/compute/v2.1/servers/${id}`)
      if (seen === null) return null
      if (seen && seen.server.status !== 'BUILD') return seen.server.status
      await pause(50)
    }
  }

  /** What took longest of a server's creation, by its trace. */
  private async longest(id: string): Promise<string> {
    const seen = await this.read(`/compute/v2.1/servers/${id}/trace`)
    const happened: { name: string; started_at: string; ms: number }[] = (seen?.trace.steps ?? []).filter((one: any) => one.started_at)
    const all = happened.map(({ name, started_at, ms }) => ({ name, from: Date.parse(started_at), to: Date.parse(started_at) + ms }))
    // its user's token may be much older
    const asked = all.find(({ name }) => name === 'post-servers')?.from ?? 0
    const spans = all.filter(({ from }) => from >= asked).sort((one, other) => one.from - other.from)
    const waits = spans.slice(1).map(({ name, from }, i) => {
      const before = spans.slice(0, i + 1).reduce((last, one) => (one.to > last.to ? one : last))
      return { what: `between ${before.name} and ${name}`, ms: from - before.to }
    })
    const within = spans.map(({ name, from, to }) => ({ what: `in ${name}`, ms: to - from }))
    const most = [...within, ...waits].reduce((one, other) => (other.ms > one.ms ? other : one), { what: 'nowhere', ms: 0 })
    return `${(most.ms / 1000).toFixed(1)} s ${most.what}`
  }

  private async borrowVolume(server: string): Promise<void> {
    const path = `/compute/v2.1/servers/${server}/os-volume_attachments`
    const { volume } = this.parts
    if (!(await this.write('POST', path, { volumeAttachment: { volumeId: volume } }))) return
    const until = performance.now() + 20_000
    while (performance.now() < until) {
      const seen = await this.read(`/volume/v3/volumes/${volume}`)
      if (seen && ['in-use', 'available', 'error'].includes(seen.volume.status)) break
      await pause(50)
    }
    await this.write('DELETE', `${path}/${volume}`)
  }
}
