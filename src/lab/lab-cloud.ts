import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import YAML from 'yaml'
import { serviceDatabases } from '../cloud/databases.ts'
import type { Settings } from '../cloud/settings.ts'
import { createLab, type Lab } from '../host/machine/lab.ts'
import { startBalancer } from './balancer.ts'
import { type Brokers, startBrokers } from './brokers.ts'
import { type Galera, startGalera } from './galera.ts'
import { controlHere, controlProcess, hostProcess, type LabMachineProcess, type LabProcess } from './processes.ts'

const CONTROLS = 2

export interface LabCloudOptions {
  /** Everything of the lab lies in it; theirs alone. */
  dir: string
  hosts: number
  /** Three Galera nodes, three RabbitMQ nodes and two control processes behind HAProxy, instead of one with SQLite. */
  cluster?: boolean
  /** Of the APIs, at the lab's address of this machine. */
  port: number
  /** Further settings of control and hosts. */
  settings?: Partial<Settings>
  say?: (what: string) => void
}

/** A cloud of several machines inside this one: a `yun host` in each of them, `yun control` here or, in a cluster, in machines of their own. */
export interface LabCloud {
  url: string
  /** Of the first control process: clients' files, log. */
  stateDir: string
  /** Secrets are there. */
  sharedDir: string
  lab: Lab
  controls: LabProcess[]
  hosts: LabMachineProcess[]
  cluster: { galera: Galera; brokers: Brokers } | null
  /** Leaves nothing. */
  stop(): Promise<void>
}

/** @throws Fault 503 with the last lines of a process that did not come up */
export async function startLabCloud(options: LabCloudOptions): Promise<LabCloud> {
  const { dir, port, say = () => {} } = options
  mkdirSync(dir, { recursive: true, mode: 0o711 })
  chmodSync(dir, 0o711)
  const undo: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const lab = await createLab({ parent: join(dir, 'machines'), count: options.hosts, controls: options.cluster ? CONTROLS : 0 })
    undo.push(() => lab.destroy())
    for (const { name, machine } of [...lab.hosts, { name: 'outside', machine: lab.outside }]) writeWayIn(join(dir, name), machine.enter)
    say(`${lab.hosts.length} machines and an outside: ${lab.hosts.map((host) => `${host.name} ${host.address}`).join(', ')}`)

    const cluster = options.cluster ? await startCluster(dir, lab.hereAddress, undo) : null
    if (cluster) say(`three Galera nodes (${cluster.galera.nodes.join(', ')}) and three RabbitMQ nodes`)
    const url = `http://${lab.hereAddress}:${port}`
    const sharedDir = join(dir, 'shared')
    const config = join(dir, 'cloud.yaml')
    const shared: Partial<Settings> = {
      publicUrl: url,
      sharedDir,
      external: EXTERNAL,
      ...(cluster ? { database: `${cluster.galera.url}/yun`, brokers: cluster.brokers.urls } : {}),
      ...options.settings,
    }
    writeFileSync(config, YAML.stringify(shared), { mode: 0o600 })
    const controls = cluster
      ? lab.controls.map((machine) => controlProcess({ dir, config, machine, port }))
      : [controlHere({ dir, config, address: lab.hereAddress, port })]
    undo.push(() => Promise.all(controls.map((one) => one.kill())))
    await Promise.all(controls.map((control) => control.start()))
    if (cluster) {
      const servers = lab.controls.map(({ address }) => `${address}:${port}`)
      undo.push(await startBalancer({ dir, listen: `${lab.hereAddress}:${port}`, servers }))
    }
    say(`${controls.length > 1 ? `${controls.length} control processes behind HAProxy answer` : 'control answers'} on ${url}`)

    const hosts = lab.hosts.map((machine) => hostProcess({ dir, config, url, sharedDir, machine }))
    undo.push(() => Promise.all(hosts.map((host) => host.kill())))
    await Promise.all(hosts.map((host) => host.start()))
    say(`${hosts.map((host) => host.name).join(', ')} have joined`)
    return { url, stateDir: controls[0]!.stateDir, sharedDir, lab, controls, hosts, cluster, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The lab's outside has the gateway's address already. */
const EXTERNAL: Settings['external'] = {
  cidr: '172.24.4.0/24',
  gateway: '172.24.4.1',
  start: '172.24.4.10',
  end: '172.24.4.250',
  gatewayHere: false,
}

async function startCluster(dir: string, address: string, undo: (() => unknown)[]) {
  const [galera, brokers] = await Promise.all([startGalera({ address }), startBrokers({ dir: join(dir, 'rabbitmq'), count: 3, address })])
  undo.push(
    () => galera.stop(),
    () => brokers.stop(),
  )
  const connection = await createConnection(galera.urlOf(0))
  for (const { service } of serviceDatabases({ stateDir: dir }))
    await connection.query(`create database yun_${service} character set utf8mb4 collate utf8mb4_bin`)
  await connection.end()
  return { galera, brokers }
}

/** `DIR/node1 virsh list`, as on a machine next door. */
function writeWayIn(file: string, enter: string[]): void {
  const quoted = enter.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  writeFileSync(file, `#!/usr/bin/env bash\nexec ${quoted} "\${@:-bash}"\n`, { mode: 0o700 })
}
