import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { ImageContext } from '../app/context.ts'
import { type Download, download } from '../app/download.ts'
import type { Image } from '../app/image.ts'
import { importFromWeb, importStaged, importsOf } from '../app/import.ts'
import { stageData, uploadData } from '../app/upload.ts'
import { IMPORT_METHODS } from './info.ts'
import { ImportBody, TaskList } from './schemas.ts'
import { seen, targetImage, viewerOf } from './seen.ts'
import { taskView } from './views.ts'

const DATA_TYPE = 'application/octet-stream'

export function dataRoutes(context: ImageContext): Route[] {
  const target = targetImage(context)
  return [
    {
      method: 'PUT',
      path: '/images/:image_id/file',
      doc: 'Upload the data of a queued image',
      policy: 'upload_image',
      target,
      stream: true,
      response: 'nothing',
      async handler(request) {
        const declared = requireData(request)
        await uploadData(context, (await seen(context, request)).image, request.stream!, declared)
      },
    },
    {
      method: 'PUT',
      path: '/images/:image_id/stage',
      doc: 'Upload data that will be imported',
      policy: 'upload_image',
      target,
      stream: true,
      response: 'nothing',
      async handler(request) {
        const declared = requireData(request)
        await stageData(context, (await seen(context, request)).image, request.stream!, declared)
      },
    },
    {
      method: 'POST',
      path: '/images/:image_id/import',
      doc: 'Import staged data (glance-direct) or data from a web server (web-download)',
      policy: 'upload_image',
      target,
      body: ImportBody,
      status: 202,
      response: 'nothing',
      async handler(request) {
        const { name, uri } = request.body.method
        if (!IMPORT_METHODS.includes(name))
          throw badRequest(`Unknown import method name '${name}'. This cloud has: ${IMPORT_METHODS.join(', ')}.`)
        const { image } = await seen(context, request)
        if (name === 'glance-direct') await importStaged(context, image, request.context)
        else if (uri) await importFromWeb(context, image, uri, request.context)
        else throw badRequest("'uri' is required for the import method web-download.")
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'GET',
      path: '/images/:image_id/tasks',
      doc: 'List the imports of an image, and what became of them',
      policy: 'get_image',
      target,
      response: TaskList,
      async handler(request) {
        const { image } = await seen(context, request)
        return { tasks: (await importsOf(context, image)).map(taskView) }
      },
    },
    {
      method: 'GET',
      path: '/images/:image_id/file',
      doc: 'Download the data of an image, or a range of it',
      policy: 'download_image',
      target,
      response: 'bytes',
      async handler(request) {
        const { image } = await seen(context, request)
        const found = await download(context, image, viewerOf(request), request.headers.range)
        return found ? dataReply(image, found) : new Reply(undefined, { status: 204 })
      },
    },
  ]
}

function dataReply(image: Image, { stream, size, range }: Download): Reply {
  const headers: Record<string, string> = { 'Content-Type': DATA_TYPE, 'Accept-Ranges': 'bytes' }
  headers['Content-Length'] = String(range ? range.end - range.start + 1 : size)
  if (range) headers['Content-Range'] = `bytes ${range.start}-${range.end}/${size}`
  else if (image.checksum) headers['Content-MD5'] = image.checksum
  return new Reply(stream, { status: range ? 206 : 200, headers })
}

/** The announced length in bytes, if there is one. @throws Fault 415, 400 */
function requireData(request: ApiRequest): number | null {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== DATA_TYPE || !request.stream) {
    request.stream?.resume()
    throw new Fault(415, 'UnsupportedMediaType', `Image data is sent as ${DATA_TYPE}${type ? `, not as ${type}` : ''}.`)
  }
  const length = request.headers['content-length']
  return length === undefined ? null : Number(length)
}
