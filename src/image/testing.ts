import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '../kernel/errors/errors.ts'
import { type TestServer, testServer } from '../kernel/http/testing.ts'
import { silent } from '../kernel/log/log.ts'
import type { Inspector } from './app/context.ts'
import { createImageService, type ImageOptions, type ImageService } from './service.ts'

/** Takes everything for what it claims, but for data that begins with HOSTILE. */
export const trusting: Inspector = async (path) => {
  const data = await readFile(path)
  if (data.subarray(0, 7).toString() === 'HOSTILE') throw new Fault(415, 'UnsafeImage', 'the image has a backing file: /etc/shadow')
  return { virtualSizeBytes: data.length * 2 }
}

export interface ImageHouse {
  service: ImageService
  directory: string
  request: TestServer['request']
  server: TestServer['server']
  /** Puts a record there and answers its id. */
  image(body?: object, as?: string): Promise<string>
  /** The same, active, with `data`. */
  active(body?: object, data?: string, as?: string): Promise<string>
  put(id: string, data: string | Buffer, as?: string): ReturnType<TestServer['request']>
  patch(id: string, changes: object[], as?: string): ReturnType<TestServer['request']>
  close(): Promise<void>
}

/** The image service on its own, in a directory that {@link ImageHouse.close} removes. */
export async function imageHouse(options: Partial<ImageOptions> = {}): Promise<ImageHouse> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'yun-images-'))
  const service = await createImageService({
    databaseUrl: 'sqlite::memory:',
    log: silent(),
    directory,
    inspect: trusting,
    exclusive: true,
    ...options,
  })
  await service.start()
  const { server, request, close } = await testServer({ apis: service.api })
  const put: ImageHouse['put'] = (id, data, as = 'admin') =>
    request('PUT', `/image/v2/images/${id}/file`, { as, text: data, headers: { 'content-type': 'application/octet-stream' } })
  const image: ImageHouse['image'] = async (body = {}, as = 'admin') => {
    const answer = await request('POST', '/image/v2/images', {
      as,
      body: { name: 'tiny', disk_format: 'qcow2', container_format: 'bare', ...body },
    })
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
    return answer.body.id
  }
  return {
    service,
    directory,
    request,
    server,
    put,
    image,
    async active(body, data = 'data', as = 'admin') {
      const id = await image(body, as)
      const { status, body: problem } = await put(id, data, as)
      if (status !== 204) throw new Error(JSON.stringify(problem))
      return id
    },
    patch: (id, changes, as = 'admin') =>
      request('PATCH', `/image/v2/images/${id}`, {
        as,
        text: JSON.stringify(changes),
        headers: { 'content-type': 'application/openstack-images-v2.1-json-patch' },
      }),
    async close() {
      await close()
      await service.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
