import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Control } from '../src/cloud/control.ts'
import { simulatedDrivers } from '../src/cloud/drivers.ts'
import { prepareGround, startHosts } from '../src/cloud/hosts.ts'
import { metadataOver } from '../src/cloud/metadata.ts'
import { loadSecrets } from '../src/cloud/secrets.ts'
import type { Settings } from '../src/cloud/settings.ts'
import { forwardSteps } from '../src/cloud/steps.ts'
import { ServiceSession } from '../src/identity/client.ts'
import { ImageClient } from '../src/image/client.ts'
import { message } from '../src/kernel/bus/bus.ts'
import { joinChild, parentBus } from '../src/kernel/bus/ipc-testing.ts'
import type { MemoryBus } from '../src/kernel/bus/memory.ts'
import { overNetwork } from '../src/kernel/http/client.ts'
import { silent } from '../src/kernel/log/log.ts'

/** A thousand hosts have a thousand disks: they are not to wait for this one. */
const MEMORY = '/dev/shm'

/** So many serve networks and volumes as well. */
export const NETWORK_HOSTS = 4

/** The agents of simulated hosts in a process of their own, as those of real hosts are: control has the other core. What they play is kept in memory, as the kernel of a real host keeps it. */
export async function hostsElsewhere(settings: Settings, bus: MemoryBus, control: Control): Promise<{ stop(): Promise<void> }> {
  const { server } = control.server.fastify
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const child = fork(import.meta.filename, [JSON.stringify(settings), url], { execArgv: process.execArgv })
  await new Promise<void>((resolve, reject) => {
    bus.subscribe(ready, () => resolve())
    child.once('exit', (code) => reject(new Error(`the process of the hosts ended with ${code}`)))
    joinChild(bus, child)
  })
  return {
    async stop() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
      server.close()
    },
  }
}

const ready = message<null, void>('bench-hosts-ready')

/** In the child. */
async function hosts(settings: Settings, url: string): Promise<void> {
  const [bus, log] = [parentBus(), silent()]
  const secrets = loadSecrets(settings.sharedDir)
  const transport = overNetwork(url)
  const session = new ServiceSession(transport, { username: 'nova', password: secrets.servicePassword, projectName: 'service' })
  forwardSteps(bus)
  const control = { images: new ImageClient(transport, session), metadata: metadataOver(transport) }
  const own = { ...settings, stateDir: mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'yun-hosts-')) }
  const ground = await prepareGround(own, log, () => simulatedDrivers())
  const common = { settings: own, secrets, bus, log, control }
  const running = [
    await startHosts({ ...common, ground: { ...ground, hosts: ground.hosts.slice(0, NETWORK_HOSTS) } }),
    await startHosts({ ...common, ground: { ...ground, hosts: ground.hosts.slice(NETWORK_HOSTS) }, roles: ['compute'] }),
  ]
  const stop = async () => {
    for (const some of running) await some.stop()
    rmSync(own.stateDir, { recursive: true, force: true })
    process.exit(0)
  }
  process.once('SIGTERM', () => void stop())
  process.once('disconnect', () => process.exit(1)) // the benchmark was killed: a thousand hosts would go on by themselves
  bus.publish(ready, null)
}

if (process.argv[1] === import.meta.filename) await hosts(JSON.parse(process.argv[2]!), process.argv[3]!)
