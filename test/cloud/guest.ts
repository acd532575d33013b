import { join } from 'node:path'
import type { CloudUnderTest } from '../cloud-under-test.ts'
import { eventually, run } from '../cloud-under-test.ts'

/** A guest of a cloud with real components, as its user reaches it. */
export class Guest {
  readonly cloud: CloudUnderTest
  readonly address: string
  readonly user: string
  readonly key: string

  /** By default the tiny guest's user and the demo's key. */
  constructor(cloud: CloudUnderTest, address: string, { user = 'cirros', key = join(cloud.stateDir, 'demo_ed25519') } = {}) {
    this.cloud = cloud
    this.address = address
    this.user = user
    this.key = key
  }

  /** Runs a command in the guest; what it said. @throws Error */
  async sh(command: string): Promise<string> {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=3', 'BatchMode=yes']
    const { code, stdout, stderr } = await run(
      'ssh',
      ['-i', this.key, ...options.flatMap((one) => ['-o', one]), `${this.user}@${this.address}`, command],
      {},
      60_000,
    )
    if (code !== 0) throw new Error(`ssh ${this.address} ${command}: exit ${code} ${stderr}${stdout}`)
    return stdout.trim()
  }

  /** Emulated guests boot in some ten seconds, on a busy machine in some thirty. */
  answers(timeoutMs = 180_000): Promise<string> {
    return eventually(`${this.address} answers by ssh`, timeoutMs, () => this.sh('hostname').catch(() => null))
  }
}

/** Asks until the server has this status. @throws Error at once when it is in ERROR */
export function becomes(cloud: CloudUnderTest, server: string, status: string): Promise<any> {
  return eventually(`${server} is ${status}`, 180_000, async () => {
    const now = await cloud.json('openstack', 'server', 'show', server)
    if (now.status === 'ERROR' && status !== 'ERROR') throw new Error(`${server} is in ERROR: ${JSON.stringify(now.fault)}`)
    return now.status === status ? now : null
  })
}
