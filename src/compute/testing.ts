import { randomUUID } from 'node:crypto'
import type { TestCloudOptions } from '../cloud/testing.ts'
import { toJson } from '../kernel/db/columns.ts'
import type { InstanceRow } from './db/tables.ts'
import type { FlavorSpec } from './rpc.ts'
import { eventually, Yard } from './sagas/testing.ts'

export interface Answer {
  status: number
  body: any
  /** What went wrong, in words. */
  message: string
  headers: Record<string, string | string[] | number | undefined>
}

export interface Asking {
  /** Default: a member of project alpha. */
  as?: 'admin' | 'member' | 'reader' | 'stranger' | null
  body?: unknown
  /** Sent as it is, to try malformed documents. */
  text?: string | Buffer
  /** Microversion, e.g. 2.47. */
  at?: string
  headers?: Record<string, string>
}

/** A simulated cloud with people in it: an administrator, two of project alpha, and a stranger of project beta. */
export class House {
  readonly yard: Yard
  private readonly tokens: Record<string, string>
  readonly alpha: string
  readonly beta: string

  private constructor(yard: Yard, tokens: Record<string, string>, alpha: string, beta: string) {
    this.yard = yard
    this.tokens = tokens
    this.alpha = alpha
    this.beta = beta
  }

  static async open(options: TestCloudOptions = {}): Promise<House> {
    const yard = await Yard.open(options)
    const { api } = yard.cloud
    await api('PUT', `/network/v2.0/networks/${yard.networkId}`, { network: { shared: true } })
    const patch = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
    await api('PATCH', `/image/v2/images/${yard.imageId}`, [{ op: 'replace', path: '/visibility', value: 'public' }], patch)
    const { roles } = await api('GET', '/identity/v3/roles')
    const project = async (name: string): Promise<string> =>
      (await api('POST', '/identity/v3/projects', { project: { name, domain_id: 'default' } })).project.id
    const person = async (name: string, projectId: string, names: string[]) => {
      const password = randomUUID()
      const { user } = await api('POST', '/identity/v3/users', { user: { name, password, domain_id: 'default' } })
      for (const { id } of roles.filter((one: { name: string }) => names.includes(one.name)))
        await api('PUT', `/identity/v3/projects/${projectId}/users/${user.id}/roles/${id}`)
      const login = await yard.cloud.control.server.fastify.inject({
        method: 'POST',
        url: '/identity/v3/auth/tokens',
        payload: {
          auth: {
            identity: { methods: ['password'], password: { user: { id: user.id, password } } },
            scope: { project: { id: projectId } },
          },
        },
      })
      return login.headers['x-subject-token'] as string
    }
    const [alpha, beta] = [await project('alpha'), await project('beta')]
    const tokens = {
      admin: yard.cloud.token,
      member: await person('member', alpha, ['member', 'reader']),
      reader: await person('reader', alpha, ['reader']),
      stranger: await person('stranger', beta, ['member', 'reader']),
    }
    return new House(yard, tokens, alpha, beta)
  }

  token(of: 'admin' | 'member' | 'reader' | 'stranger'): string {
    return this.tokens[of]!
  }

  /** Asks compute; any answer is an answer. */
  ask(method: string, path: string, asking: Asking = {}): Promise<Answer> {
    return this.request(method, `/compute/v2.1${path}`, asking)
  }

  /** Asks any service. */
  async request(method: string, url: string, { as = 'member', body, text, at, headers = {} }: Asking = {}): Promise<Answer> {
    const answer = await this.yard.cloud.control.server.fastify.inject({
      method: method as 'GET',
      url,
      headers: {
        ...(as ? { 'x-auth-token': this.tokens[as]! } : {}),
        ...(body !== undefined || text !== undefined ? { 'content-type': 'application/json' } : {}),
        ...(at ? { 'openstack-api-version': `compute ${at}` } : {}),
        ...headers,
      },
      payload: text ?? (body === undefined ? undefined : JSON.stringify(body)),
    })
    const document = answer.payload ? parsed(answer.payload) : undefined
    const [fault] = Object.values((document as Record<string, { message?: string }>) ?? {})
    return { status: answer.statusCode, body: document, message: fault?.message ?? '', headers: answer.headers }
  }

  /** What POST /servers takes, with these things of its own. */
  wish(own: object = {}): { server: Record<string, unknown> } {
    const { imageId, flavorId, networkId } = this.yard
    return { server: { name: 'one', imageRef: imageId, flavorRef: flavorId, networks: [{ uuid: networkId }], ...own } }
  }

  /** A server of the member's that has come to rest. */
  async server(own: object = {}, asking: Asking = {}): Promise<any> {
    const made = await this.ask('POST', '/servers', { body: this.wish(own), at: '2.90', ...asking })
    if (made.status !== 202) throw new Error(`POST /servers: ${made.status} ${made.message}`)
    return await this.rested(made.body.server.id)
  }

  /** The server, when nothing is under way with it. */
  async rested(id: string): Promise<any> {
    await this.yard.settled()
    const show = async () => (await this.ask('GET', `/servers/${id}`, { as: 'admin', at: '2.93' })).body.server
    return await eventually(show, (now) => now === undefined || (now['OS-EXT-STS:task_state'] === null && now.status !== 'BUILD'))
  }

  async remove(...ids: string[]): Promise<void> {
    for (const id of ids) await this.yard.remove(id)
  }

  stop(): Promise<void> {
    return this.yard.cloud.stop()
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const flavorSpec = (own: Partial<FlavorSpec> = {}): FlavorSpec => ({
  id: '1',
  name: 'tiny',
  vcpus: 1,
  ramMiB: 512,
  rootGiB: 1,
  ephemeralGiB: 0,
  swapMiB: 0,
  extraSpecs: {},
  ...own,
})

/** A row of the instances table. */
export const instanceRow = (own: Partial<InstanceRow> = {}): InstanceRow => ({
  id: randomUUID(),
  number: 1,
  project_id: 'alpha',
  user_id: 'ann',
  name: 'one',
  hostname: 'one',
  description: null,
  reservation_id: 'r-00000001',
  launch_index: 0,
  vm_state: 'active',
  task_state: null,
  held_task: null,
  power_state: 1,
  host: 'node-1',
  node: 'node-1',
  requested_zone: null,
  zone: 'nova',
  image_id: null,
  flavor_json: toJson(flavorSpec()),
  vcpus: 1,
  ram: 512,
  old_flavor_json: null,
  auto_disk_config: 0,
  key_name: null,
  key_json: null,
  user_data: null,
  config_drive: 0,
  metadata_json: '{}',
  tags_json: '[]',
  files_json: '[]',
  security_groups_json: '[]',
  network_info_json: '[]',
  request_json: '{}',
  group_id: null,
  access_ipv4: null,
  access_ipv6: null,
  locked: 0,
  locked_reason: null,
  fault_json: null,
  progress: 0,
  rescue_image_id: null,
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
  launched_at: null,
  terminated_at: null,
  deleted: 0,
  ...own,
})
