import { badRequest, conflict, Fault, notFound, unavailable } from '../../kernel/errors/errors.ts'
import { ExecError } from '../../kernel/exec/exec.ts'

export const imageNotFound = (what: string) => notFound(`A disk image is missing: ${what}`, 'ImageNotFound')
export const imageInvalid = (what: string) => badRequest(`The disk image is damaged or of another format: ${what}`, 'ImageInvalid')
export const shrinkRefused = (path: string, now: number, wanted: number) =>
  badRequest(`The disk ${path} has ${now} bytes; making it ${wanted} would lose what lies behind.`, 'ShrinkRefused')

/** What qemu-img said, as a fault that tells what to do. */
export function faultOf(error: unknown): Fault {
  if (!(error instanceof ExecError)) return unavailable(`qemu-img cannot be run: ${(error as Error).message}`, 'QemuImgFailed', error)
  const said = error.stderr.trim().replace(/^qemu-img: /, '')
  const first = said.split('\n')[0]!
  if (/No space left on device|Disk quota exceeded/.test(said)) return new Fault(507, 'DiskFull', `No room for a disk image: ${first}`)
  if (/Failed to (get|lock)/.test(said))
    return conflict(`The disk image is in use, by a running guest or another tool: ${first}`, 'ImageInUse')
  if (/No such file or directory/.test(said)) return imageNotFound(first)
  if (DAMAGED.test(said)) return imageInvalid(first)
  return unavailable(`qemu-img failed: ${error.message}`, 'QemuImgFailed', error)
}

/** Besides these, a file that opens but makes no sense: "Could not open 'x': Image is not in qcow2 format". */
const DAMAGED = /is corrupt|[Ii]nvalid|does not have a backing file|Could not open '[^']*': Image /
