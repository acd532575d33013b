import { buildDebianGuest } from '../guest/build-debian.ts'
import { buildTinyGuest } from '../guest/build-tiny.ts'
import type { BuildOptions, GuestImage } from '../guest/image-cache.ts'

const BUILDERS = { tiny: buildTinyGuest, debian: buildDebianGuest }

export type GuestKind = keyof typeof BUILDERS

/** A guest image, built from Debian packages when it is not there yet. */
export const guest = (kind: GuestKind, options: BuildOptions = {}): Promise<GuestImage> => BUILDERS[kind](options)

/** The tiny guest's qcow2 file. */
export async function guestImage(say: (text: string) => void): Promise<string> {
  const { path } = await guest('tiny', { onProgress: say })
  return path
}
