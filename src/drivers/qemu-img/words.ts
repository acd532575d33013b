import { badRequest } from '../../kernel/errors/errors.ts'
import type { DiskFile, QemuImg } from './driver.ts'

const FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vpc', 'vhdx']

/** What qemu-img takes for a file and nothing else: not for an option, a protocol (`nbd:`) or a description (`json:`). @throws Fault 400 BadImage */
function imagePath(path: string): void {
  if (!/^\/\P{Cc}+$/u.test(path) || !path.isWellFormed()) throw bad(path, 'the absolute path of a disk image')
}

function imageFile(disk: DiskFile): void {
  imagePath(disk.path)
  if (!FORMATS.includes(disk.format)) throw bad(disk.format, 'the format of a disk image')
}

/** The same, for whom every file that is named is looked at before anything is done. */
export function withWords(images: QemuImg): QemuImg {
  const checked =
    <Args extends unknown[], Out>(work: (...args: Args) => Promise<Out>) =>
    async (...args: Args): Promise<Out> => {
      for (const arg of args)
        if (typeof arg === 'string') imagePath(arg)
        else if (isFile(arg)) imageFile(arg)
      return await work(...args)
    }
  return {
    info: checked(images.info),
    create: checked(images.create),
    createOverlay: checked(images.createOverlay),
    resize: checked(images.resize),
    convert: checked(images.convert),
    check: checked(images.check),
    measure: async (disk, format) => {
      imageFile(disk)
      imageFile({ path: disk.path, format })
      return await images.measure(disk, format)
    },
    rebase: checked(images.rebase),
    commit: checked(images.commit),
  }
}

const isFile = (arg: unknown): arg is DiskFile => typeof arg === 'object' && arg !== null && 'path' in arg

const bad = (text: string, what: string) => badRequest(`${JSON.stringify(text.slice(0, 200))} cannot be ${what}.`, 'BadImage')
