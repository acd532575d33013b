import http from 'node:http'
import { Api } from '../src/cli/api.ts'
import type { CloudUnderTest } from '../test/cloud-under-test.ts'

export const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
export const percentile = (values: number[], p: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(p * values.length))] ?? Number.NaN

export function adminOf(cloud: CloudUnderTest): Api {
  return new Api({ url: `http://127.0.0.1:${cloud.port}`, username: 'admin', password: cloud.env.OS_PASSWORD!, project: 'demo' })
}

/** Runs `work` n times, `concurrency` at once. */
export async function pool(n: number, concurrency: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < n) await work(next++)
    }),
  )
}

/** A keep-alive client without the cost of fetch, so that the server is what is measured. */
export function requester(port: number, connections: number) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  return (method: string, path: string, headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port, method, path, headers, agent }, (answer) => {
        answer.resume()
        answer.once('end', () => resolve(answer.statusCode!))
      })
      request.once('error', reject)
      request.end()
    })
}

/** Requests per second and the median latency (ms) over `seconds`. */
export async function rate(concurrency: number, seconds: number, work: () => Promise<void>): Promise<{ perSecond: number; p50: number }> {
  for (let i = 0; i < 50; i++) await work()
  const latencies: number[] = []
  const started = performance.now()
  const end = started + seconds * 1000
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < end) {
        const from = performance.now()
        await work()
        latencies.push(performance.now() - from)
      }
    }),
  )
  return { perSecond: latencies.length / ((performance.now() - started) / 1000), p50: median(latencies) }
}
