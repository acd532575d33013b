import type { ImageDocument } from '../../image/client.ts'
import { badRequest, Fault, forbidden } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { GiB } from '../../kernel/units/units.ts'
import type { FlavorSpec, ImageSpec } from '../rpc.ts'
import type { ComputeContext } from './context.ts'

const OWN = new Set([
  'id',
  'name',
  'owner',
  'status',
  'visibility',
  'protected',
  'os_hidden',
  'disk_format',
  'container_format',
  'min_ram',
  'min_disk',
  'size',
  'virtual_size',
  'checksum',
  'os_hash_algo',
  'os_hash_value',
  'tags',
  'created_at',
  'updated_at',
  'self',
  'file',
  'schema',
  'stores',
  'locations',
  'direct_url',
])

/** The image as hosts need it. @throws Fault 400 when there is none that the user may see, or it has no data */
export async function imageSpec(context: ComputeContext, request: RequestContext, id: string): Promise<ImageSpec> {
  let image: ImageDocument
  try {
    image = await context.images.image(id, as(request))
  } catch (error) {
    if (error instanceof Fault && error.status === 404)
      throw badRequest(`Can not find requested image: Image ${id} could not be found.`, 'ImageNotFound')
    throw error
  }
  return activeSpec(image)
}

/** The same of many, asked for at once. @throws Fault 400 for the first that is not there or has no data */
export async function imageSpecs(context: ComputeContext, request: RequestContext, ids: string[]): Promise<Map<string, ImageSpec>> {
  const all = new Map<string, ImageSpec>()
  const unknown = () => [...new Set(ids)].filter((id) => !all.has(id))
  for (const os_hidden of ['false', 'true'])
    for (let some = unknown().filter((id) => /^[\w-]+$/.test(id)); some.length > 0; some = some.slice(AT_ONCE)) {
      const query = { id: `in:${some.slice(0, AT_ONCE).join(',')}`, visibility: 'all', member_status: 'all', os_hidden }
      for (const image of await context.images.images(query, as(request))) all.set(image.id, activeSpec(image))
    }
  for (const id of unknown()) all.set(id, await imageSpec(context, request, id)) // refuses it
  return all
}

/** Ids that fit into an address. */
const AT_ONCE = 50

const as = (request: RequestContext) => ({ token: request.token, requestId: request.requestId })

function activeSpec(image: ImageDocument): ImageSpec {
  if (image.status !== 'active') throw badRequest(`Image ${image.id} is not active: it is ${image.status}.`, 'ImageNotActive')
  return specOfImage(image)
}

export const specOfImage = (image: ImageDocument): ImageSpec => ({
  id: image.id,
  name: image.name ?? '',
  diskFormat: image.disk_format ?? 'raw',
  containerFormat: image.container_format ?? 'bare',
  sizeBytes: image.size ?? 0,
  checksum: image.checksum,
  hashAlgorithm: image.os_hash_algo,
  hashValue: image.os_hash_value,
  minRamMiB: image.min_ram,
  minDiskGiB: image.min_disk,
  properties: Object.fromEntries(
    Object.entries(image).flatMap(([name, value]) => (OWN.has(name) || typeof value !== 'string' ? [] : [[name, value]])),
  ),
})

/** `root`: the volume that it boots from instead. @throws Fault 400 when flavor or volume is too small for the image */
export function checkFits(image: ImageSpec, flavor: FlavorSpec, root?: { size: number | null }): void {
  if (image.minRamMiB > flavor.ramMiB) throw badRequest("Flavor's memory is too small for requested image.", 'FlavorMemoryTooSmall')
  if (root && image.minDiskGiB > Number(root.size))
    throw badRequest(
      `Volume is smaller than the minimum size specified in image metadata. Volume size is ${Number(root.size) * GiB} bytes, minimum size is ${image.minDiskGiB * GiB} bytes.`,
      'VolumeSmallerThanMinDisk',
    )
  if (root || flavor.rootGiB === 0) return
  if (image.minDiskGiB > flavor.rootGiB)
    throw badRequest(
      `Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is ${flavor.rootGiB * GiB} bytes, minimum size is ${image.minDiskGiB * GiB} bytes.`,
      'FlavorDiskSmallerThanMinDisk',
    )
  if (image.sizeBytes > flavor.rootGiB * GiB)
    throw badRequest(
      `Flavor's disk is too small for requested image. Flavor disk is ${flavor.rootGiB * GiB} bytes, image is ${image.sizeBytes} bytes.`,
      'FlavorDiskSmallerThanImage',
    )
}

/** An image says itself how large its disk is: where the flavor gives no bound, it could be as large as it likes. @throws Fault 403 */
export function checkBound(flavor: FlavorSpec, unboundDisk: boolean): void {
  if (flavor.rootGiB === 0 && !unboundDisk)
    throw forbidden('Only volume-backed servers are allowed for flavors with zero disk.', 'BootFromVolumeRequiredForZeroDiskFlavor')
}
