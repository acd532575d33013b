import { must, type RestTransport } from '../kernel/http/client.ts'

export interface ExternalEvent {
  name: string
  server_uuid: string
  tag?: string
  status?: string
}

/** The compute service, as the other services use it. */
export class ComputeClient {
  private readonly transport: RestTransport
  private readonly session: { token(): Promise<string> }

  constructor(transport: RestTransport, session: { token(): Promise<string> }) {
    this.transport = transport
    this.session = session
  }

  /** Something of a server is done. Servers that do not exist are passed over. @throws Fault when compute does not answer */
  async notify(events: ExternalEvent[]): Promise<void> {
    if (events.length === 0) return
    const answer = await this.transport.send({
      method: 'POST',
      path: '/compute/v2.1/os-server-external-events',
      token: await this.session.token(),
      headers: { 'openstack-api-version': 'compute 2.93' },
      body: { events },
    })
    if (answer.status !== 404) await must(Promise.resolve(answer))
  }
}
