import { createServer } from 'node:net'
import { exec } from '../../kernel/exec/exec.ts'
import type { TgtOptions } from './real.ts'

export interface PrivateTgtd extends TgtOptions {
  stop(): Promise<void>
}

/** A tgtd of the test's own, on ports that nobody has. */
export async function privateTgtd(): Promise<PrivateTgtd> {
  const portal = `127.0.0.1:${await freePort()}`
  const controlPort = 1_000 + (process.pid % 30_000)
  const control = (...args: string[]) =>
    exec('tgtadm', ['-C', String(controlPort), '--lld', 'iscsi', '--mode', 'sys', ...args], { timeoutMs: 5_000 })
  await exec('tgtd', ['--control-port', String(controlPort), '--iscsi', `portal=${portal}`])
  for (let i = 0; ; i++) {
    try {
      await control('--op', 'show')
      break
    } catch (error) {
      if (i === 400) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return { portal, controlPort, stop: async () => void (await control('--op', 'delete')) }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
