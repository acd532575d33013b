import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { Api } from './api.ts'

/** Makes a public image out of a file, or out of bytes. What is left of one whose upload fails is removed. */
export async function uploadImage(
  api: Api,
  record: Record<string, unknown>,
  content: string | Uint8Array,
): Promise<{ id: string; bytes: number }> {
  const image = await api.post('/image/v2/images', { container_format: 'bare', visibility: 'public', ...record })
  const bytes = typeof content === 'string' ? statSync(content).size : content.length
  const data = typeof content === 'string' ? (Readable.toWeb(createReadStream(content)) as ReadableStream) : content
  try {
    await api.upload(`/image/v2/images/${image.id}/file`, data, bytes)
  } catch (error) {
    await api.remove(`/image/v2/images/${image.id}`).catch(() => {})
    throw error
  }
  return { id: image.id, bytes }
}
