import { hostname } from 'node:os'
import { startCloud } from '../src/cloud/cloud.ts'
import { readSettings } from '../src/cloud/settings.ts'

/** A cloud that kills itself with SIGKILL right after each record that a saga of compute writes: KILLED_SAGA names which. Arguments as for `yun up`. */
const { settings } = readSettings(process.argv.slice(2), hostname())
await startCloud(settings, {
  interceptor: {
    logged({ saga }) {
      if (saga === process.env.KILLED_SAGA) process.kill(process.pid, 'SIGKILL')
    },
  },
})
console.log('up')
