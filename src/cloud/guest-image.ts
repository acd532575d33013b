import { buildTinyGuest } from '../guest/build-tiny.ts'

/** The tiny guest's qcow2 file, built from Debian packages when it is not there yet. */
export async function guestImage(say: (text: string) => void): Promise<string> {
  const { path } = await buildTinyGuest({ onProgress: say })
  return path
}
