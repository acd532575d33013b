import { Fault, unavailable } from '../kernel/errors/errors.ts'
import { faultOf, overNetwork, type RestRequest, type RestTransport } from '../kernel/http/client.ts'

export interface Login {
  url: string
  username: string
  password: string
  project: string
}

/** The cloud as any client sees it: its public API over the network, with a token of its own. */
export class Api {
  readonly url: string
  private readonly transport: RestTransport
  private token: string | null = null
  private readonly login: Login

  constructor(login: Login) {
    this.login = login
    this.url = login.url
    this.transport = overNetwork(login.url)
  }

  async authenticate(): Promise<{ ms: number }> {
    const started = performance.now()
    const domain = { name: 'Default' }
    const answer = await this.transport.send({
      method: 'POST',
      path: '/identity/v3/auth/tokens',
      body: {
        auth: {
          identity: { methods: ['password'], password: { user: { name: this.login.username, password: this.login.password, domain } } },
          scope: { project: { name: this.login.project, domain } },
        },
      },
    })
    if (answer.status !== 201) throw faultOf(answer.status, answer.body)
    this.token = answer.headers['x-subject-token'] ?? null
    return { ms: performance.now() - started }
  }

  /** The answer's body. @throws Fault with the service's own words */
  async call(method: RestRequest['method'], path: string, body?: unknown, headers: Record<string, string> = {}): Promise<any> {
    if (!this.token) await this.authenticate()
    const answer = await this.transport.send({
      method,
      path,
      body,
      token: this.token,
      headers: { 'openstack-api-version': 'compute 2.93', ...headers },
    })
    if (answer.status >= 400) throw faultOf(answer.status, answer.body)
    return answer.body
  }

  get = (path: string) => this.call('GET', path)
  post = (path: string, body: unknown) => this.call('POST', path, body)
  put = (path: string, body: unknown) => this.call('PUT', path, body)
  remove = (path: string) => this.call('DELETE', path)

  /** Sends a file as image data. */
  async upload(path: string, data: ReadableStream | Uint8Array, length: number): Promise<void> {
    if (!this.token) await this.authenticate()
    const answer = await fetch(this.url + path, {
      method: 'PUT',
      headers: { 'x-auth-token': this.token!, 'content-type': 'application/octet-stream', 'content-length': String(length) },
      body: data as never,
      duplex: 'half',
    } as RequestInit)
    if (answer.status >= 400) throw new Fault(answer.status, 'Upload', await answer.text())
  }
}

/** Asks again every `everyMs` until `look` finds something. @throws Fault 503 with `what` after `timeoutMs` */
export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | null | undefined | false>,
  everyMs = 50,
): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found) return found
    if (performance.now() > end) throw unavailable(`${what}: not within ${Math.round(timeoutMs / 1000)} s`, 'Timeout')
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
