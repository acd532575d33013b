import { copyFileSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { adminPasswordOf } from '../src/cloud/client-files.ts'
import type { Settings } from '../src/cloud/settings.ts'
import { SCHEDULER_DEFAULTS } from '../src/compute/app/scheduler/settings.ts'
import { startLabCloud } from '../src/lab/lab-cloud.ts'
import { CloudUnderTest, openrcOf } from '../test/cloud-under-test.ts'
import { ENABLED_FILTERS, PASSWORD_RULES } from './configuration.ts'

/** The cloud that the tests run against. */
export interface TestedCloud {
  url: string
  region: string
  adminPassword: string
  /** Put before a program to run it where guests are reached, in this directory; nothing where that is here. */
  enterAt(dir: string): string[]
  /** Copies what the cloud has written about itself into `dir`. */
  leaveLogs(dir: string): void
  /** Leaves nothing. */
  stop(): Promise<void>
}

/**
 * With rules for passwords and all filters that tests ask about, which a cloud has only where its configuration names some; tempest uploads noise as images of every format, and has one fetched from a web
 * server, which is inside: these tests need no world.
 */
const settings = (webServer: string): Partial<Settings> => ({
  securityCompliance: PASSWORD_RULES,
  strictImageFormats: false,
  imageSources: { ports: [80, 443], trustedHosts: [webServer] },
  scheduler: { ...SCHEDULER_DEFAULTS, enabledFilters: ENABLED_FILTERS },
})
/** A lab's address is its own. */
const LAB_PORT = 5050

/** @param webServer from which it may fetch images @param dir for its files, beside others @param real on this machine, or on machines inside it if `hosts` is more than 1 */
export async function startCloud(options: { dir: string; real: boolean; hosts: number; webServer: string }): Promise<TestedCloud> {
  const { dir, real, hosts, webServer } = options
  if (real && hosts > 1) return await labCloud(dir, hosts, webServer)
  const config = join(dir, 'yun.yaml')
  writeFileSync(config, JSON.stringify(settings(webServer)))
  const cloud = await CloudUnderTest.start([
    '--config',
    config,
    ...(real ? [] : ['--hypervisor', 'simulated', '--simulated-hosts', String(hosts)]),
  ])
  return {
    ...known(cloud.stateDir),
    enterAt: () => [],
    leaveLogs: (to) => cloud.leaveLogs(to),
    stop: () => cloud.stop(),
  }
}

/** Tempest runs in the lab's outside, as whoever calls guests from the world does. */
async function labCloud(dir: string, hosts: number, webServer: string): Promise<TestedCloud> {
  const cloud = await startLabCloud({
    dir: join(dir, 'lab'),
    hosts,
    port: LAB_PORT,
    settings: { ...settings(webServer), development: true },
  })
  const logs = [
    { name: 'control', stateDir: cloud.stateDir },
    ...cloud.hosts.map(({ name, stateDir, machine }) => ({ name, stateDir: machine.machine.path(stateDir) })),
  ]
  return {
    ...known(cloud.stateDir),
    enterAt: (cwd) => cloud.lab.outside.enterAt(cwd),
    leaveLogs(to) {
      for (const { name, stateDir } of logs) {
        const log = join(stateDir, 'yun.log')
        if (existsSync(log)) copyFileSync(log, join(to, `${name}.log`))
      }
    },
    stop: () => cloud.stop(),
  }
}

function known(stateDir: string): Pick<TestedCloud, 'url' | 'region' | 'adminPassword'> {
  const openrc = openrcOf(stateDir)
  return {
    url: openrc.OS_AUTH_URL!.replace(/\/identity\/v3$/, ''),
    region: openrc.OS_REGION_NAME!,
    adminPassword: adminPasswordOf(stateDir),
  }
}
