import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Api, until } from '../../src/cli/api.ts'
import { demo } from '../../src/cli/demo.ts'
import { guestImage } from '../../src/cloud/guest-image.ts'
import { loadSecrets } from '../../src/cloud/secrets.ts'
import { type LabCloud, startLabCloud } from '../../src/lab/lab-cloud.ts'
import { run } from '../cloud-under-test.ts'

const PORT = 5050
const EXTERNAL = { cidr: '172.24.4.0/24', gateway: '172.24.4.1', start: '172.24.4.10', end: '172.24.4.250' }

/** A cloud of two machines with a guest that has a floating IP and a volume, and an outside from which it is reached. */
export class LabUnderTest {
  readonly folder: string
  readonly cloud: LabCloud
  /** As admin of project demo. */
  readonly api: Api
  readonly serverId: string
  readonly address: string

  private constructor(folder: string, cloud: LabCloud, api: Api, made: { serverId: string; address: string }) {
    this.folder = folder
    this.cloud = cloud
    this.api = api
    this.serverId = made.serverId
    this.address = made.address
  }

  static async start(): Promise<LabUnderTest> {
    assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
    const folder = mkdtempSync(join(tmpdir(), 'lab-'))
    const image = await guestImage(() => {})
    const cloud = await startLabCloud({ dir: join(folder, 'lab'), hosts: 2, port: PORT, settings: { development: true } })
    const api = new Api({ url: cloud.url, username: 'admin', password: loadSecrets(cloud.sharedDir).adminPassword, project: 'demo' })
    const { server, floatingIp } = await demo({
      api,
      stateDir: cloud.stateDir,
      imageFile: image,
      external: EXTERNAL,
      enter: [join(folder, 'lab', 'outside')],
      screen: { tty: false, columns: 100, rows: 50, write: () => {} },
    })
    return new LabUnderTest(folder, cloud, api, { serverId: server.id, address: floatingIp })
  }

  async stop(): Promise<void> {
    await this.cloud.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** How a program is started outside. */
  get outside(): string {
    return join(this.folder, 'lab', 'outside')
  }

  runOutside(...command: string[]) {
    return run(this.outside, command, {}, 60_000)
  }

  sshCommand(command: string): string[] {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=3', 'BatchMode=yes']
    const key = join(this.cloud.stateDir, 'demo_ed25519')
    return ['ssh', '-i', key, ...options.flatMap((one) => ['-o', one]), `cirros@${this.address}`, command]
  }

  /** In the guest, from outside. */
  ssh(command: string) {
    return this.runOutside(...this.sshCommand(command))
  }

  async server(id = this.serverId): Promise<any> {
    return (await this.api.get(`/compute/v2.1/servers/${id}`)).server
  }

  /** The server, when it has the status and nothing is under way. @throws Error when it is in ERROR instead */
  becomes(status: string, id = this.serverId): Promise<any> {
    return until(`server ${id} is ${status}`, 180_000, async () => {
      const now = await this.server(id)
      if (now.status === 'ERROR' && status !== 'ERROR') throw new Error(JSON.stringify(now.fault))
      return now.status === status && now['OS-EXT-STS:task_state'] === null && now
    })
  }

  noLeaks(): Promise<unknown> {
    return until('nothing is left over', 60_000, async () => (await this.api.get('/doctor/v1/leaks')).leaks.length === 0, 500)
  }
}
