import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unavailable } from '../kernel/errors/errors.ts'
import { showBytes } from '../kernel/units/units.ts'
import { type Api, until } from './api.ts'
import { type Screen, StepsView, type TraceStep } from './steps-view.ts'
import { uploadImage } from './upload.ts'

export interface DemoOptions {
  api: Api
  stateDir: string
  /** A qcow2 file for the image `tiny`; null with the simulated hypervisor, where any bytes do. */
  imageFile: string | null
  external: { cidr: string; gateway: string; start: string; end: string }
  /** argv put before ssh when the cloud lives in a network namespace of its own. */
  enter: string[]
  screen: Screen
}

export interface DemoResult {
  server: any
  floatingIp: string
  ssh: string
  consoleUrl: string | null
  volumeDevice: string
}

const FLAVOR = { name: 'tiny', vcpus: 1, ram: 192, disk: 1 }

/** The main job through the public API: image, flavor, key pair, the article's network set-up, server `hello`, floating IP, volume. Finds what an earlier run made. */
export async function demo(options: DemoOptions): Promise<DemoResult> {
  const { api, screen } = options
  const view = new StepsView(screen)
  const { ms } = await api.authenticate()
  view.note('Keystone', 'signed in', ms, 'as admin on project demo')

  const image = await ensureImage(options, view)
  const flavor = await ensure(
    view,
    'Nova API',
    'flavor',
    api,
    '/compute/v2.1/flavors',
    'flavors',
    FLAVOR.name,
    () => api.post('/compute/v2.1/flavors', { flavor: FLAVOR }),
    'flavor',
    () => `${FLAVOR.vcpus} vCPU, ${FLAVOR.ram} MiB, ${FLAVOR.disk} GiB`,
  )
  const keyFile = await ensureKeyPair(options, view)
  const { network, externalId } = await ensureNetworks(options, view)
  await openDefaultGroup(api, view)

  let server = await theServer(api)
  if (!server)
    server = (
      await api.post('/compute/v2.1/servers', {
        server: { name: 'hello', imageRef: image.id, flavorRef: flavor.id, key_name: 'demo', networks: [{ uuid: network.id }] },
      })
    ).server
  if (server.status === 'SHUTOFF') await switchOn(api, view, server.id)
  const watch = new Watch(api, view, server.id)

  server = await watch.until('the guest to be started', 37, 600_000, async () => {
    const { server: now } = await api.get(`/compute/v2.1/servers/${server.id}`)
    if (now.status === 'ERROR') throw unavailable(`server hello is in ERROR: ${now.fault?.message ?? 'no reason given'}`, 'DemoFailed')
    return now.status === 'ACTIVE' ? now : null
  })
  const floatingIp = await watch.until("the router's NAT rules", 41, 60_000, () => ensureFloatingIp(api, server.id, externalId))
  const volumeDevice = await ensureVolume(api, watch, server.id)
  const consoleUrl = await remoteConsole(api, server.id)
  const ssh = [
    ...options.enter,
    'ssh',
    '-i',
    keyFile,
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
    `cirros@${floatingIp}`,
  ]
  if (options.imageFile) await watch.until('the guest to take its key', 42, 180_000, () => logsIn(ssh))
  view.finish(await watch.steps())
  return { server: (await api.get(`/compute/v2.1/servers/${server.id}`)).server, floatingIp, ssh: ssh.join(' '), consoleUrl, volumeDevice }
}

/** Of an earlier run; one that failed then makes room for another try. */
async function theServer(api: Api): Promise<any> {
  const server = (await api.get('/compute/v2.1/servers/detail?name=%5Ehello%24')).servers[0]
  if (server?.status !== 'ERROR') return server
  await api.call('DELETE', `/compute/v2.1/servers/${server.id}`)
  await until('the server of an earlier try to go', 60_000, async () => {
    const { servers } = await api.get('/compute/v2.1/servers?name=%5Ehello%24')
    return servers.length === 0
  })
  return undefined
}

/** A machine that was off takes its guests with it. */
async function switchOn(api: Api, view: StepsView, id: string): Promise<void> {
  const started = performance.now()
  await api.call('POST', `/compute/v2.1/servers/${id}/action`, { 'os-start': null })
  view.note('Nova API', 'server hello', performance.now() - started, 'was off, and is started again')
}

/** Polls the server's trace while something is waited for, so that the view moves. */
class Watch {
  private readonly api: Api
  private readonly view: StepsView
  private readonly id: string

  constructor(api: Api, view: StepsView, id: string) {
    this.api = api
    this.view = view
    this.id = id
  }

  async steps(): Promise<TraceStep[]> {
    return (await this.api.get(`/compute/v2.1/servers/${this.id}/trace`)).trace.steps
  }

  until<T>(what: string, lastStep: number, timeoutMs: number, look: () => Promise<T | null | undefined | false>): Promise<T> {
    return until(what, timeoutMs, async () => {
      this.view.update(await this.steps(), `waiting for ${what} ...`, lastStep)
      return await look()
    })
  }
}

async function ensure(
  view: StepsView,
  chapter: string,
  what: string,
  api: Api,
  path: string,
  list: string,
  name: string,
  create: () => Promise<any>,
  key: string,
  text: (made: any) => string,
): Promise<any> {
  const started = performance.now()
  const found = (await api.get(path))[list].find((one: any) => one.name === name)
  const made = found ?? (await create())[key]
  view.note(chapter, `${what} ${name}`, performance.now() - started, found ? 'there already' : text(made))
  return made
}

async function ensureImage({ api, imageFile }: DemoOptions, view: StepsView): Promise<any> {
  const started = performance.now()
  const found = (await api.get('/image/v2/images?name=tiny&status=active')).images[0]
  if (found) {
    view.note('Glance', 'image tiny', performance.now() - started, 'there already')
    return found
  }
  const diskFormat = imageFile ? 'qcow2' : 'raw'
  const record = { name: 'tiny', disk_format: diskFormat, min_ram: 128, min_disk: 0 }
  const image = await uploadImage(api, record, imageFile ?? new Uint8Array(1024 * 1024))
  view.note('Glance', 'image tiny', performance.now() - started, `${showBytes(image.bytes)} ${diskFormat} uploaded, inspected, checksummed`)
  return image
}

async function ensureKeyPair({ api, stateDir }: DemoOptions, view: StepsView): Promise<string> {
  const started = performance.now()
  const file = join(stateDir, 'demo_ed25519')
  if (!existsSync(file)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'demo@yun', '-f', file])
  const known = (await api.get('/compute/v2.1/os-keypairs')).keypairs.some((one: any) => one.keypair.name === 'demo')
  if (!known)
    await api.call('POST', '/compute/v2.1/os-keypairs', {
      keypair: { name: 'demo', public_key: readFileSync(`${file}.pub`, 'utf8').trim(), type: 'ssh' },
    })
  view.note('Nova API', 'key pair demo', performance.now() - started, known ? 'there already' : file)
  return file
}

/** The article's seven commands: network, subnet, router, interface, external network, its subnet, gateway. */
async function ensureNetworks({ api, external }: DemoOptions, view: StepsView): Promise<{ network: any; externalId: string }> {
  const path = '/network/v2.0'
  const network = await ensure(
    view,
    'Neutron',
    'network',
    api,
    `${path}/networks`,
    'networks',
    'private',
    () => api.post(`${path}/networks`, { network: { name: 'private' } }),
    'network',
    (made) => `${made['provider:network_type']} segment ${made['provider:segmentation_id']}, MTU ${made.mtu}`,
  )
  const subnet = await ensure(
    view,
    'Neutron',
    'subnet',
    api,
    `${path}/subnets`,
    'subnets',
    'private-subnet',
    () =>
      api.post(`${path}/subnets`, {
        subnet: {
          name: 'private-subnet',
          network_id: network.id,
          ip_version: 4,
          cidr: '192.168.0.0/24',
          gateway_ip: '192.168.0.1',
          dns_nameservers: ['8.8.8.8'],
        },
      }),
    'subnet',
    (made) => `${made.cidr}, gateway ${made.gateway_ip}`,
  )
  const outside = await ensure(
    view,
    'Neutron',
    'network',
    api,
    `${path}/networks`,
    'networks',
    'public',
    () =>
      api.post(`${path}/networks`, {
        network: { name: 'public', 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'public' },
      }),
    'network',
    () => 'external, flat on br-ex',
  )
  await ensure(
    view,
    'Neutron',
    'subnet',
    api,
    `${path}/subnets`,
    'subnets',
    'public-subnet',
    () =>
      api.post(`${path}/subnets`, {
        subnet: {
          name: 'public-subnet',
          network_id: outside.id,
          ip_version: 4,
          cidr: external.cidr,
          gateway_ip: external.gateway,
          enable_dhcp: false,
          allocation_pools: [{ start: external.start, end: external.end }],
        },
      }),
    'subnet',
    (made) => `${made.cidr}, pool ${external.start} to ${external.end}`,
  )
  const router = await ensure(
    view,
    'Neutron',
    'router',
    api,
    `${path}/routers`,
    'routers',
    'router',
    () => api.post(`${path}/routers`, { router: { name: 'router', external_gateway_info: { network_id: outside.id } } }),
    'router',
    (made) => `gateway ${made.external_gateway_info?.external_fixed_ips?.[0]?.ip_address}`,
  )
  const ports = (await api.get(`${path}/ports?device_id=${router.id}`)).ports
  if (!ports.some((port: any) => port.fixed_ips.some((ip: any) => ip.subnet_id === subnet.id))) {
    const started = performance.now()
    await api.put(`${path}/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id })
    view.note('Neutron', 'router interface', performance.now() - started, 'private-subnet on router')
  }
  return { network, externalId: outside.id }
}

async function openDefaultGroup(api: Api, view: StepsView): Promise<void> {
  const started = performance.now()
  const { projects } = await api.get('/identity/v3/auth/projects')
  const project = projects.find((one: any) => one.name === 'demo')
  const group = (await api.get(`/network/v2.0/security-groups?name=default&project_id=${project.id}`)).security_groups[0]
  const wanted = [
    { protocol: 'tcp', port_range_min: 22, port_range_max: 22 },
    { protocol: 'icmp', port_range_min: null, port_range_max: null },
  ]
  for (const rule of wanted)
    if (!group.security_group_rules.some((one: any) => one.direction === 'ingress' && one.protocol === rule.protocol))
      await api.post('/network/v2.0/security-group-rules', {
        security_group_rule: { security_group_id: group.id, direction: 'ingress', ethertype: 'IPv4', ...rule },
      })
  view.note('Neutron', 'security group default', performance.now() - started, 'ssh and ping may come in')
}

async function ensureFloatingIp(api: Api, serverId: string, externalId: string): Promise<string | null> {
  const port = (await api.get(`/network/v2.0/ports?device_id=${serverId}`)).ports[0]
  const mine = (await api.get(`/network/v2.0/floatingips?port_id=${port.id}`)).floatingips[0]
  if (!mine) {
    await api.post('/network/v2.0/floatingips', { floatingip: { floating_network_id: externalId, port_id: port.id } })
    return null
  }
  return mine.status === 'ACTIVE' ? mine.floating_ip_address : null
}

async function ensureVolume(api: Api, watch: Watch, serverId: string): Promise<string> {
  let volume = (await api.get('/volume/v3/volumes/detail?name=data')).volumes[0]
  if (!volume) volume = (await api.post('/volume/v3/volumes', { volume: { name: 'data', size: 1 } })).volume
  const settled = (wanted: string) => async () => {
    const { volume: now } = await api.get(`/volume/v3/volumes/${volume.id}`)
    if (now.status.startsWith('error')) throw unavailable(`volume data is in ${now.status}`, 'DemoFailed')
    return now.status === wanted ? now : null
  }
  if (!volume.attachments?.some((one: any) => one.server_id === serverId)) {
    await watch.until('the volume', 47, 120_000, settled('available'))
    await api.post(`/compute/v2.1/servers/${serverId}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.id } })
  }
  const attached = await watch.until('the volume to be attached', 49, 120_000, settled('in-use'))
  return attached.attachments[0].device
}

async function remoteConsole(api: Api, serverId: string): Promise<string | null> {
  try {
    return (await api.post(`/compute/v2.1/servers/${serverId}/remote-consoles`, { remote_console: { protocol: 'vnc', type: 'novnc' } }))
      .remote_console.url
  } catch {
    return null // the simulated hypervisor has no screens
  }
}

/** Whether a user really gets in, by the line that will be printed. */
function logsIn(line: string[]): Promise<boolean> {
  return new Promise((resolve) =>
    execFile(
      line[0]!,
      [...line.slice(1, -1), '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=3', line.at(-1)!, 'true'],
      { timeout: 20_000 },
      (error) => resolve(error === null),
    ),
  )
}
