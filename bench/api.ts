import { readFileSync } from 'node:fs'
import { until } from '../src/cli/api.ts'
import { showBytes, showMs } from '../src/kernel/units/units.ts'
import { CloudUnderTest } from '../test/cloud-under-test.ts'
import { adminOf, median, percentile, pool, rate, requester } from './client.ts'
import type { Report } from './report.ts'

/** Published or measured figures of real OpenStack (Zed, Debian 12, two workers for each API) on two cores. */
const ZED = { startS: 39, memoryMiB: 3191, postMs: 276, activeMs: 1993, validationsPerS: 96, tokenMs: 238, create100PerS: 0.56 }

/** What is listed, and the ms that Zed needs for it with one client. */
const LISTS: [name: string, path: string, zedMs: number, headers?: Record<string, string>][] = [
  ['flavors', '/compute/v2.1/flavors', 8],
  ['images', '/image/v2/images', 7],
  ['networks', '/network/v2.0/networks', 39],
  ['104 ports', '/network/v2.0/ports', 64],
  [
    'allocation candidates',
    '/placement/allocation_candidates?limit=1000&resources=VCPU:1,MEMORY_MB:64,DISK_GB:1',
    21,
    { 'openstack-api-version': 'placement 1.39' },
  ],
  ['102 servers in detail', '/compute/v2.1/servers/detail', 295, { 'openstack-api-version': 'compute 2.93' }],
]

/** Start, memory, creates, listing and tokens with the simulated hypervisor. */
export async function api(report: Report): Promise<void> {
  const first = await CloudUnderTest.start(undefined, { development: false })
  await first.yun('stop')
  const started = performance.now()
  await first.up()
  const ready = performance.now() - started
  try {
    report('start, state there already', showMs(ready), `Zed ${ZED.startS} s: ${Math.round((ZED.startS * 1000) / ready)} times faster`)
    const memory = residentBytes(first.pid)
    report(
      'memory of all Yun processes, idle',
      showBytes(memory),
      `Zed ${ZED.memoryMiB} MiB: ${Math.round((ZED.memoryMiB * 1024 ** 2) / memory)} times less`,
    )
    await creates(first, report)
  } finally {
    await first.stop()
  }
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}

async function creates(cloud: CloudUnderTest, report: Report): Promise<void> {
  const admin = adminOf(cloud)
  const project = (await admin.get('/identity/v3/auth/projects')).projects.find((one: any) => one.name === 'demo').id
  await admin.put(`/compute/v2.1/os-quota-sets/${project}`, { quota_set: { instances: -1, cores: -1, ram: -1 } })
  await admin.put(`/network/v2.0/quotas/${project}`, { quota: { port: -1 } })
  const { flavor } = await admin.post('/compute/v2.1/flavors', { flavor: { name: 'bench', vcpus: 1, ram: 1, disk: 0 } })
  const image = await admin.post('/image/v2/images', { name: 'bench', disk_format: 'raw', container_format: 'bare' })
  await admin.upload(`/image/v2/images/${image.id}/file`, new Uint8Array(1024), 1024)
  const { network } = await admin.post('/network/v2.0/networks', { network: { name: 'bench' } })
  await admin.post('/network/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.9.0.0/16' } })
  const post = async (name: string) =>
    (
      await admin.post('/compute/v2.1/servers', {
        server: { name, imageRef: image.id, flavorRef: flavor.id, networks: [{ uuid: network.id }] },
      })
    ).server.id as string
  const settled = (id: string) =>
    until('the server', 60_000, async () => {
      const { server } = await admin.get(`/compute/v2.1/servers/${id}`)
      if (server.status === 'ERROR') throw new Error(server.fault?.message ?? 'ERROR')
      return server.status === 'ACTIVE'
    })

  const posts: number[] = []
  const actives: number[] = []
  for (let i = 0; i < 20; i++) {
    const from = performance.now()
    const id = await post(`single-${i}`)
    posts.push(performance.now() - from)
    await settled(id)
    actives.push(performance.now() - from)
  }
  report('POST /servers', showMs(median(posts)), `Zed ${ZED.postMs} ms: ${ratio(ZED.postMs / median(posts))}`)
  report('POST to ACTIVE (polled every 50 ms)', showMs(median(actives)), `Zed ${ZED.activeMs} ms: ${ratio(ZED.activeMs / median(actives))}`)

  for (const n of [82, 100, 500]) {
    const latencies: number[] = []
    const from = performance.now()
    await pool(n, 8, async (i) => {
      const at = performance.now()
      await post(`many-${n}-${i}`)
      latencies.push(performance.now() - at)
    })
    const accepted = performance.now() - from
    await until(
      'all servers',
      300_000,
      async () => (await admin.get(`/compute/v2.1/servers?status=BUILD&limit=1&name=many-${n}-`)).servers.length === 0,
    )
    const total = performance.now() - from
    const failed = (await admin.get(`/compute/v2.1/servers?status=ERROR&name=many-${n}-`)).servers.length
    report(
      `${n} servers, 8 at once`,
      `${showMs(total)}: ${(n / (total / 1000)).toFixed(1)}/s`,
      `accepted in ${showMs(accepted)}, POST p50 ${showMs(median(latencies))} p99 ${showMs(percentile(latencies, 0.99))}, ${failed} failed; Zed ${ZED.create100PerS}/s: ${ratio(n / (total / 1000) / ZED.create100PerS)}`,
    )
    if (n === 82) await listing(cloud, report)
  }
}

async function listing(cloud: CloudUnderTest, report: Report): Promise<void> {
  const token = (await tokenOf(cloud)).token
  for (const concurrency of [1, 8]) {
    const request = requester(cloud.port, concurrency)
    const validate = await rate(
      concurrency,
      3,
      async () => void (await request('GET', '/identity/v3/auth/tokens', { 'x-auth-token': token, 'x-subject-token': token })),
    )
    report(
      `token validation, ${concurrency} clients`,
      `${Math.round(validate.perSecond)}/s, p50 ${showMs(validate.p50)}`,
      `Zed ${ZED.validationsPerS}/s: ${ratio(validate.perSecond / ZED.validationsPerS)}`,
    )
    for (const [name, path, zedMs, headers] of LISTS) {
      const list = await rate(concurrency, 3, async () => void (await request('GET', path, { 'x-auth-token': token, ...headers })))
      report(
        `${name}, ${concurrency} clients`,
        `${list.perSecond.toFixed(0)}/s, p50 ${showMs(list.p50)}`,
        `Zed ${zedMs} ms with one: ${ratio(zedMs / list.p50)}`,
      )
    }
  }
  const logins = await rate(1, 3, async () => void (await tokenOf(cloud)))
  report(
    'password token',
    `p50 ${showMs(logins.p50)}`,
    `Zed ${ZED.tokenMs} ms: ${ratio(ZED.tokenMs / logins.p50)}; nearly all of it is an honest password hash`,
  )
}

async function tokenOf(cloud: CloudUnderTest): Promise<{ token: string }> {
  const domain = { name: 'Default' }
  const answer = await fetch(`http://127.0.0.1:${cloud.port}/identity/v3/auth/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      auth: {
        identity: { methods: ['password'], password: { user: { name: 'admin', domain, password: cloud.env.OS_PASSWORD } } },
        scope: { project: { name: 'demo', domain } },
      },
    }),
  })
  await answer.arrayBuffer()
  return { token: answer.headers.get('x-subject-token')! }
}

const ratio = (value: number) =>
  value >= 1 ? `${value.toFixed(value < 10 ? 1 : 0)} times faster` : `${(1 / value).toFixed(1)} times slower`
