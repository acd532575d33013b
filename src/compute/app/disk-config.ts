import { badRequest } from '../../kernel/errors/errors.ts'
import type { ImageSpec } from '../rpc.ts'

const TRUE = ['1', 't', 'true', 'on', 'y', 'yes']

/**
 * Whether a server's disk is to be divided anew as it grows, as its row keeps it: what was asked, or what its image says.
 * @throws Fault 400 when the image forbids it
 */
export function autoDiskConfig(image: ImageSpec | null, asked: boolean | null): 0 | 1 {
  const word = image?.properties.auto_disk_config?.trim().toLowerCase() ?? ''
  if (word === 'disabled' && asked)
    throw badRequest(`Requested image ${image!.id} has automatic disk resize disabled.`, 'AutoDiskConfigDisabledByImage')
  return (asked ?? TRUE.includes(word)) ? 1 : 0
}
