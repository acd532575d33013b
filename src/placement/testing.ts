import { inMemory } from '../kernel/http/client.ts'
import { type TestAnswer, type TestRequest, type TestServer, testServer } from '../kernel/http/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { PlacementClient } from './client.ts'
import { createPlacement, type PlacementService } from './service.ts'

export const uuid = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`

export interface PlacementHouse {
  service: PlacementService
  client: PlacementClient
  /** Asks below /placement with microversion 1.39 unless told. */
  ask(method: string, path: string, options?: TestRequest & { version?: string }): Promise<TestAnswer>
  server: TestServer
  /** A compute host with room for `vcpus` instances of one VCPU. */
  host(n: number, vcpus?: number): Promise<string>
  close(): Promise<void>
}

/** The placement service on its own, behind the real edge. */
export async function placementHouse(databaseUrl = 'sqlite::memory:'): Promise<PlacementHouse> {
  const service = await createPlacement({ databaseUrl, log: silent() })
  await service.start()
  const server = await testServer({ apis: service.api })
  const client = new PlacementClient(inMemory(server.server.edge), { token: async () => 'service' })
  return {
    service,
    client,
    server,
    ask: (method, path, { version = '1.39', headers, ...options } = {}) =>
      server.request(method, `/placement${path}`, { ...options, headers: { 'openstack-api-version': `placement ${version}`, ...headers } }),
    async host(n, vcpus = 10) {
      await client.ensureProvider(uuid(n), `host-${n}`)
      await client.setInventories(uuid(n), { VCPU: { total: vcpus }, MEMORY_MB: { total: 4096, reserved: 512 }, DISK_GB: { total: 100 } })
      return uuid(n)
    },
    async close() {
      await server.close()
      await service.stop()
    },
  }
}
