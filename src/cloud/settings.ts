import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import YAML from 'yaml'
import { SCHEDULER_DEFAULTS, type SchedulerSettings, wrongIn } from '../compute/app/scheduler/settings.ts'
import { badRequest } from '../kernel/errors/errors.ts'

/** What one cloud is told: by flags, else by the configuration file, else by these defaults. */
export interface Settings {
  /** Where everything of this cloud lies: databases, images, instances, secrets, logs. */
  stateDir: string
  /** Address to listen on: loopback unless told. */
  host: string
  port: number
  /** As clients reach the APIs, in catalog and links: behind a load balancer its address; empty: where this process listens. */
  publicUrl: string
  hypervisor: 'libvirt' | 'simulated'
  /** This compute host's name. */
  hostname: string
  /** With the simulated hypervisor: how many hosts to play (node1, node2, ...); 0: one, with this machine's name. */
  simulatedHosts: number
  region: string
  /** This machine's address for the other hosts: tunnels, disks over iSCSI, screens. Empty: there are no others, and it listens on loopback only. */
  address: string
  /** `mysql://user:password@host[,host…]/yun`, where each service has a database of its own (`yun_compute`, …); null: SQLite in the state directory. */
  database: string | null
  /** `amqp://user:password@host:5672/`, one for each node; empty: hosts reach the bus through the one control process. */
  brokers: string[]
  /** Secrets, keys of tokens and image files: with several control processes a directory that all of them see; empty: the state directory. */
  sharedDir: string
  /** PEM files; with both the APIs speak HTTPS. */
  tls: { cert: string; key: string } | null
  /** Check every answer against its schema. */
  development: boolean
  logLevel: string
  /** Rules that replace defaults: service → file (JSON or YAML). */
  policyFiles: Record<string, string>
  /** The provider network that plays the outside. */
  external: {
    cidr: string
    gateway: string
    start: string
    end: string /** Whether this machine plays that gateway (default), or there is one. */
    gatewayHere?: boolean
  }
  tenantNetworkType: 'vxlan' | 'gre' | 'vlan'
  storage: { backend: 'auto' | 'lvm' | 'lvm-thin' | 'file'; volumeGroup: string; sizeGiB: number }
  /** What is put into the disks of new guests: partition -2 nothing, -1 the first file system that can be written, N that one; and whether key and root's password too. */
  injection: { partition: number; key: boolean; password: boolean }
  /** s to wait for the network to say that a port is plugged. */
  vifPluggingTimeout: number
  /** What the scheduler asks of a host, and how much each of its measures counts; what is not named keeps its default. */
  scheduler: SchedulerSettings
  /** From where images may be fetched (web-download): ports outside, and hosts inside that may be asked, as `name` or `name:port`. */
  imageSources: { ports: number[]; trustedHosts: string[] }
  /** Whether image data without the marks of any format may be uploaded as raw only; data that are another format than they claim never may. */
  strictImageFormats: boolean
  /** Rules for users' passwords, Keystone's: so many wrong ones lock a user out (null: never) for so many s; so many, the present one included, are not to be used again (0: any). */
  securityCompliance: { lockoutFailureAttempts: number | null; lockoutDuration: number; uniqueLastPasswordCount: number }
  /** Requests per unit, user and verb; empty: no limits. */
  rateLimits: { verb: string; uri: string; regex: string; value: number; unit: 'SECOND' | 'MINUTE' | 'HOUR' | 'DAY' }[]
}

export const defaultStateDir = () => (process.getuid?.() === 0 ? '/var/lib/yun' : resolve(homedir(), '.local/state/yun'))

const DEFAULTS: Settings = {
  stateDir: '',
  host: '127.0.0.1',
  port: 5000,
  publicUrl: '',
  hypervisor: 'libvirt',
  hostname: '',
  simulatedHosts: 0,
  region: 'RegionOne',
  address: '',
  database: null,
  brokers: [],
  sharedDir: '',
  tls: null,
  development: false,
  logLevel: 'info',
  policyFiles: {},
  external: { cidr: '172.24.4.0/24', gateway: '172.24.4.1', start: '172.24.4.10', end: '172.24.4.250' },
  tenantNetworkType: 'vxlan',
  storage: { backend: 'auto', volumeGroup: 'yun-volumes', sizeGiB: 100 },
  injection: { partition: -2, key: false, password: false },
  vifPluggingTimeout: 300,
  scheduler: SCHEDULER_DEFAULTS,
  imageSources: { ports: [80, 443], trustedHosts: [] },
  strictImageFormats: true,
  securityCompliance: { lockoutFailureAttempts: null, lockoutDuration: 1800, uniqueLastPasswordCount: 0 },
  rateLimits: [
    { verb: 'POST', uri: '*', regex: '.*', value: 6000, unit: 'MINUTE' },
    { verb: 'DELETE', uri: '*', regex: '.*', value: 6000, unit: 'MINUTE' },
  ],
}

export const FLAGS = {
  config: { type: 'string' },
  state: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  hypervisor: { type: 'string' },
  address: { type: 'string' },
  'no-demo': { type: 'boolean' },
  detach: { type: 'boolean' },
  'log-level': { type: 'string' },
  development: { type: 'boolean' },
  'external-cidr': { type: 'string' },
  'simulated-hosts': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

export interface UpOptions {
  settings: Settings
  demo: boolean
  detach: boolean
  help: boolean
}

export type Values = Record<string, string | boolean | undefined>

/** @throws Fault 400 that names the wrong flag */
export function readFlags(argv: string[], options: Record<string, { type: 'string' | 'boolean'; short?: string }> = FLAGS): Values {
  try {
    return parseArgs({ args: argv, options, strict: true }).values as Values
  } catch (error) {
    throw badRequest((error as Error).message, 'Usage')
  }
}

/** @throws Fault 400 that names the wrong flag or setting */
export function readSettings(argv: string[], hostname: string): UpOptions {
  const values = readFlags(argv)
  const settings = settingsOf(values, hostname)
  return { settings, demo: !values['no-demo'], detach: values.detach === true, help: values.help === true }
}

/** `real`: whether real guests, networks and disks are this process's business. */
export function settingsOf(values: Values, hostname: string, { real = true } = {}): Settings {
  const file = typeof values.config === 'string' ? readConfig(values.config) : {}
  const settings: Settings = { ...DEFAULTS, hostname, ...file, scheduler: { ...DEFAULTS.scheduler, ...file.scheduler } }
  if (values.state) settings.stateDir = String(values.state)
  if (values.host) settings.host = String(values.host)
  if (values.port) settings.port = Number(values.port)
  if (values.hypervisor) settings.hypervisor = values.hypervisor as Settings['hypervisor']
  if (values['log-level']) settings.logLevel = String(values['log-level'])
  if (values.development) settings.development = true
  if (values['simulated-hosts']) settings.simulatedHosts = Number(values['simulated-hosts'])
  if (values['external-cidr']) settings.external = externalOf(String(values['external-cidr']))
  if (values.address) settings.address = String(values.address)
  settings.stateDir = resolve(settings.stateDir || defaultStateDir())
  settings.sharedDir = resolve(settings.sharedDir || settings.stateDir)
  validate(settings, real)
  return settings
}

/** The usual division of a /24: .1 the gateway, .10 to .250 for Yun. */
export function externalOf(cidr: string): Settings['external'] {
  const match = /^(\d+\.\d+\.\d+)\.0\/24$/.exec(cidr)
  if (!match)
    throw badRequest(
      `external network ${cidr}: a /24 like 172.24.4.0/24 is needed (or give all four values in the configuration file)`,
      'Usage',
    )
  return { cidr, gateway: `${match[1]}.1`, start: `${match[1]}.10`, end: `${match[1]}.250` }
}

function readConfig(path: string): Partial<Settings> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw badRequest(`configuration file ${path} cannot be read: ${(error as Error).message}`, 'Usage')
  }
  const value = YAML.parse(text) ?? {}
  for (const key of Object.keys(value))
    if (!(key in DEFAULTS))
      throw badRequest(`configuration file ${path}: unknown setting "${key}" (known: ${Object.keys(DEFAULTS).join(', ')})`, 'Usage')
  return value
}

function validate(settings: Settings, real: boolean): void {
  if (!Number.isInteger(settings.port) || settings.port < 1 || settings.port > 65_535)
    throw badRequest(`port ${settings.port}: a number from 1 to 65535 is needed`, 'Usage')
  if (!['libvirt', 'simulated'].includes(settings.hypervisor))
    throw badRequest(`hypervisor "${settings.hypervisor}": libvirt or simulated`, 'Usage')
  if (!Number.isInteger(settings.simulatedHosts) || settings.simulatedHosts < 0)
    throw badRequest(`--simulated-hosts ${settings.simulatedHosts}: a whole number is needed`, 'Usage')
  if (settings.tls && (!settings.tls.cert || !settings.tls.key)) throw badRequest('tls: both cert and key are needed', 'Usage')
  if (settings.database !== null && !settings.database.startsWith('mysql://'))
    throw badRequest('database: an address like mysql://user:password@host/yun is needed', 'Usage')
  if (settings.brokers.some((url) => !/^amqps?:/.test(url)))
    throw badRequest('brokers: addresses like amqp://user:password@host:5672/ are needed', 'Usage')
  const wrong = wrongIn(settings.scheduler)
  if (wrong) throw badRequest(`scheduler: ${wrong}`, 'Usage')
  if (real && settings.hypervisor === 'libvirt' && process.getuid?.() !== 0)
    throw badRequest('real guests, networks and disks need root: run it with sudo, or with --hypervisor simulated', 'NeedsRoot')
}
