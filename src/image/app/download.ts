import type { Readable } from 'node:stream'
import { Fault, forbidden, notFound } from '../../kernel/errors/errors.ts'
import type { Image } from '../db/images.ts'
import type { ImageContext } from './context.ts'
import type { Viewer } from './image.ts'

export interface Download {
  stream: Readable
  /** Bytes of the whole image. */
  size: number
  /** What of it `stream` gives, inclusive; null means all. */
  range: { start: number; end: number } | null
}

/**
 * The image's data, or one range of it. Null when there is none yet.
 * @throws Fault 403 when deactivated, 404 when the data is lost, 416 when the range lies outside
 */
export async function download(context: ImageContext, image: Image, viewer: Viewer, range: string | undefined): Promise<Download | null> {
  if (image.status === 'deactivated' && !viewer.isAdmin)
    throw forbidden('The requested image has been deactivated. Image data download is forbidden.', 'ImageDeactivated')
  if (image.status !== 'active' && image.status !== 'deactivated') return null
  const data = await context.store.open(image.id)
  if (!data) throw notFound(`The data of image ${image.id} is not in the store. Upload it again as a new image.`, 'ImageDataNotFound')
  const { size } = data
  try {
    const part = range === undefined ? null : partOf(range, size)
    // who knows where it ends does not ask the file for more
    const bytes = part ?? (size > 0 ? { start: 0, end: size - 1 } : undefined)
    return { stream: data.read(bytes), size, range: part }
  } catch (error) {
    await data.close()
    throw error
  }
}

/** `bytes=0-99`, `bytes=100-`, `bytes=-100`; several ranges or another unit mean the whole, as HTTP allows. */
function partOf(header: string, size: number): { start: number; end: number } | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.trim())
  if (!match || (match[1] === '' && match[2] === '')) return null
  const [, first, last] = match
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (start > end || start >= size)
    throw new Fault(416, 'InvalidRange', `The requested range lies outside of the image's ${size} bytes.`, {
      headers: { 'Content-Range': `bytes */${size}` },
    })
  return { start, end }
}
