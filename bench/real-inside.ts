import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { until } from '../src/cli/api.ts'
import { showMs } from '../src/kernel/units/units.ts'
import { CloudUnderTest } from '../test/cloud-under-test.ts'
import { adminOf, median } from './client.ts'
import { report } from './report.ts'

const ROUNDS = 5

/** POST to ACTIVE and to the first word of the ssh server, beside a script that does the same work with qemu-img, ip, ovs-vsctl and virsh. In turns, so that both meet the same machine. */
const cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true, development: false })
const admin = adminOf(cloud)
try {
  const { servers } = await admin.get('/compute/v2.1/servers')
  const steps = (await admin.get(`/compute/v2.1/servers/${servers[0].id}/trace`)).trace.steps
  const image = (await admin.get('/image/v2/images?name=tiny')).images[0]
  const flavor = (await admin.get('/compute/v2.1/flavors')).flavors[0]
  const networks = (await admin.get('/network/v2.0/networks')).networks
  const [inner, outer] = ['private', 'public'].map((name) => networks.find((one: any) => one.name === name))
  const xml = steps[30].evidence.xml as string
  await admin.call('DELETE', `/compute/v2.1/servers/${servers[0].id}`)
  const host = (await admin.get('/network/v2.0/agents')).agents[0].host

  const yun: Round[] = []
  const bare: Round[] = []
  for (let i = 0; i < ROUNDS; i++) {
    yun.push(await byYun(i))
    bare.push(await byHand(i))
  }
  for (const [what, of] of [
    ['to ACTIVE / to virsh start', (round: Round) => round.started],
    ['to the ssh server’s first word', (round: Round) => round.answers],
  ] as const) {
    const [ours, theirs] = [median(yun.map(of)), median(bare.map(of))]
    report(
      `real guest: POST ${what}`,
      showMs(ours),
      `a bare script: ${showMs(theirs)}; ${(ours / theirs).toFixed(2)} times its time (${ROUNDS} rounds in turns, medians)`,
    )
  }

  async function portWithAddress(name: string): Promise<{ port: any; address: string }> {
    const { port } = await admin.post('/network/v2.0/ports', { port: { name, network_id: inner.id } })
    const { floatingip } = await admin.post('/network/v2.0/floatingips', {
      floatingip: { floating_network_id: outer.id, port_id: port.id },
    })
    const settled = async () => (await admin.get(`/network/v2.0/floatingips/${floatingip.id}`)).floatingip.status === 'ACTIVE'
    await until('the router to have the address', 30_000, settled)
    return { port, address: floatingip.floating_ip_address }
  }

  async function byYun(i: number): Promise<Round> {
    const { port, address } = await portWithAddress(`yun-${i}`)
    const from = performance.now()
    const { server } = await admin.post('/compute/v2.1/servers', {
      server: {
        name: `yun-${i}`,
        imageRef: image.id,
        flavorRef: flavor.id,
        key_name: 'demo',
        config_drive: true,
        networks: [{ port: port.id }],
      },
    })
    const one = () => admin.get(`/compute/v2.1/servers/${server.id}`)
    await until('the server', 60_000, async () => (await one()).server.status === 'ACTIVE', 20)
    const started = performance.now() - from
    await until('ssh', 120_000, () => speaks(address), 20)
    const answers = performance.now() - from
    await admin.call('DELETE', `/compute/v2.1/servers/${server.id}`)
    await until('the server to go', 60_000, async () => (await admin.get('/compute/v2.1/servers')).servers.length === 0)
    return { started, answers }
  }

  async function byHand(i: number): Promise<Round> {
    const { port, address } = await portWithAddress(`bare-${i}`)
    await admin.put(`/network/v2.0/ports/${port.id}`, {
      port: { device_id: randomUUID(), device_owner: 'compute:bare', 'binding:host_id': host },
    })
    const [uuid, name] = [randomUUID(), `bare-${i}`]
    const dir = join(cloud.stateDir, 'bare', name)
    mkdirSync(join(cloud.stateDir, 'bare'), { recursive: true, mode: 0o711 })
    const bases = join(cloud.stateDir, 'instances', '_base')
    const file = join(cloud.stateDir, 'bare', `${name}.xml`)
    writeFileSync(file, definition({ xml, uuid, name, dir, port }))
    const from = performance.now()
    execFileSync(resolve(import.meta.dirname, 'bare.sh'), [
      ...[
        dir,
        uuid,
        name,
        join(bases, readdirSync(bases)[0]!),
        port.id,
        port.mac_address,
        String(inner.mtu),
        join(cloud.stateDir, 'demo_ed25519'),
        file,
      ],
    ])
    const started = performance.now() - from
    await until('ssh', 120_000, () => speaks(address), 20)
    const answers = performance.now() - from
    execFileSync('virsh', ['-q', 'destroy', name])
    execFileSync('virsh', ['-q', 'undefine', name])
    const short = port.id.slice(0, 11)
    execFileSync('ovs-vsctl', ['del-port', `qvo${short}`])
    for (const link of [`qvb${short}`, `qbr${short}`]) execFileSync('ip', ['link', 'delete', link])
    return { started, answers }
  }
} finally {
  await cloud.stop()
}

interface Round {
  /** ms */
  started: number
  answers: number
}

/** Yun's own definition of a guest, for another one: name, id, disk, drive, console, card. */
function definition({ xml, uuid, name, dir, port }: { xml: string; uuid: string; name: string; dir: string; port: any }): string {
  const before = /<uuid>([^<]+)/.exec(xml)![1]!
  const short = /<source bridge='qbr([^']+)'/.exec(xml)![1]!
  const folder = /<source file='([^']+)\/disk'/.exec(xml)![1]!
  const drive = `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${dir}/disk.config'/><target dev='hda' bus='ide'/><readonly/></disk>`
  return xml
    .replaceAll(folder, dir)
    .replaceAll(before, uuid)
    .replaceAll(short, port.id.slice(0, 11))
    .replace(/<name>[^<]+/, `<name>${name}`)
    .replace(/<mac address='[^']+'/, `<mac address='${port.mac_address}'`)
    .replace('</devices>', `${drive}</devices>`)
}

function speaks(address: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: address, port: 22, timeout: 500 })
    const end = (answer: boolean) => {
      socket.destroy()
      done(answer)
    }
    socket.once('data', (chunk) => end(chunk.toString('latin1').startsWith('SSH-')))
    socket.once('error', () => end(false))
    socket.once('timeout', () => end(false))
  })
}
