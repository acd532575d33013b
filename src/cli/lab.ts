import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { guestImage } from '../cloud/guest-image.ts'
import { loadSecrets } from '../cloud/secrets.ts'
import { readFlags } from '../cloud/settings.ts'
import { badRequest, conflict } from '../kernel/errors/errors.ts'
import { startLabCloud } from '../lab/lab-cloud.ts'
import { Api } from './api.ts'
import { demo } from './demo.ts'
import { onSignal } from './stay.ts'
import { screenOf } from './steps-view.ts'
import { trustCloudOf } from './trust.ts'

const HELP = `Several machines inside this one, each with its own network, Open vSwitch, libvirt and iSCSI target, and a cloud on them: control here, a host process in each.
Ctrl-C ends all of it and leaves nothing. Needs root.

Usage: npx yun lab [options]

  --hosts N              how many (3)
  --cluster              three Galera nodes, three RabbitMQ nodes and two control processes behind HAProxy, instead of one with SQLite
  --port N               of the APIs, at the lab's address of this machine (5050)
  --state DIR            where all of it lies while it runs (/var/tmp/yun-lab)
  --no-demo              without the virtual machine hello
`

export async function run(argv: string[]): Promise<number> {
  const values = readFlags(argv, {
    hosts: { type: 'string' },
    cluster: { type: 'boolean' },
    port: { type: 'string' },
    state: { type: 'string' },
    'no-demo': { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  if (process.getuid?.() !== 0) throw badRequest('machines inside this one need root: run it with sudo', 'NeedsRoot')
  const hosts = Number(values.hosts ?? 3)
  const dir = resolve(String(values.state ?? '/var/tmp/yun-lab'))
  if (existsSync(dir))
    throw conflict(`${dir} is there already: another lab runs on it, or it is somebody else's; give --state DIR`, 'LabExists')
  const image = values['no-demo'] ? null : await guestImage((text) => console.log(` Guest      · ${text}`))
  const cloud = await startLabCloud({
    dir,
    hosts,
    cluster: values.cluster === true,
    port: Number(values.port ?? 5050),
    say: (text) => console.log(` Lab        · ${text}`),
  })
  const ended = new Promise<number>((done) =>
    onSignal(() =>
      cloud.stop().then(
        () => done(0),
        (error: Error) => {
          console.error(`yun: ${error.message}`)
          done(1)
        },
      ),
    ),
  )
  try {
    if (image) {
      trustCloudOf(cloud.stateDir)
      const api = new Api({ url: cloud.url, username: 'admin', password: loadSecrets(cloud.sharedDir).adminPassword, project: 'demo' })
      const external = { cidr: '172.24.4.0/24', gateway: '172.24.4.1', start: '172.24.4.10', end: '172.24.4.250' }
      const made = await demo({
        api,
        stateDir: cloud.stateDir,
        imageFile: image,
        external,
        enter: [`${dir}/outside`],
        screen: screenOf(process.stdout),
      })
      console.log(`\n  log in      ${made.ssh}`)
    }
    console.log(`  clients     source ${cloud.stateDir}/openrc`)
    console.log(`  machines    ${dir}/node1 virsh list        ${dir}/outside ping …`)
    console.log(`  state       npx yun status --state ${cloud.stateDir}`)
    console.log('  stop        Ctrl-C (nothing is left)')
    return await ended
  } catch (error) {
    await cloud.stop()
    throw error
  }
}
