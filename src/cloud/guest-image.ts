import { buildTinyGuest } from '../guest/build-tiny.ts'

const CACHE = process.env.XDG_CACHE_HOME ? `${process.env.XDG_CACHE_HOME}/yun` : '/var/cache/yun'

/** The tiny guest's qcow2 file, built from Debian packages when it is not there yet. */
export async function guestImage(say: (text: string) => void): Promise<string> {
  const { path } = await buildTinyGuest({ cacheDir: CACHE, onProgress: say })
  return path
}
