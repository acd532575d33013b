import { join } from 'node:path'
import type { CloudUnderTest } from '../cloud-under-test.ts'
import { eventually, run } from '../cloud-under-test.ts'

/** A guest of a cloud with real components, as its user reaches it. */
export class Guest {
  readonly cloud: CloudUnderTest
  readonly address: string

  constructor(cloud: CloudUnderTest, address: string) {
    this.cloud = cloud
    this.address = address
  }

  /** Runs a command in the guest by the demo's key; what it said. @throws Error */
  async sh(command: string): Promise<string> {
    const key = join(this.cloud.stateDir, 'demo_ed25519')
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=3', 'BatchMode=yes']
    const { code, stdout, stderr } = await run(
      'ssh',
      ['-i', key, ...options.flatMap((one) => ['-o', one]), `cirros@${this.address}`, command],
      {},
      60_000,
    )
    if (code !== 0) throw new Error(`ssh ${this.address} ${command}: exit ${code} ${stderr}${stdout}`)
    return stdout.trim()
  }

  /** Emulated guests boot in some ten seconds, on a busy machine in some thirty. */
  answers(): Promise<string> {
    return eventually(`${this.address} answers by ssh`, 180_000, () => this.sh('hostname').catch(() => null))
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
