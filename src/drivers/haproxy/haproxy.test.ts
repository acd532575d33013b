import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { haproxyContract } from './contract.ts'
import { simulatedHaProxy } from './simulated.ts'

haproxyContract(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'haproxy-twin-'))
  const file = join(folder, 'haproxy.json')
  return {
    haproxy: simulatedHaProxy({ file }),
    namespace: 'qrouter-1',
    socket: '/run/md.sock',
    again: () => simulatedHaProxy({ file }),
    done: async () => rmSync(folder, { recursive: true }),
  }
})
