import { posix } from 'node:path'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import { MOST_BYTES_READ } from './driver.ts'

/** Absolute and without detours. @throws Fault 400 for what a file system or debugfs would take for something else */
export function guestPath(path: string): string {
  const bad = /["\\]/.test(path) || [...path].some((character) => character.codePointAt(0)! < 32)
  if (!path.startsWith('/') || path.endsWith('/') || bad || path.length > 1024)
    throw badRequest(
      `${JSON.stringify(path)} cannot be a file in a guest: an absolute path without quotes and control characters is needed.`,
      'BadPath',
    )
  const normal = posix.normalize(path)
  if (normal === '/') throw badRequest(`${JSON.stringify(path)} is the root of the guest's file system and no file.`, 'BadPath')
  return normal
}

/** @throws Fault 400 TooLarge */
export function assertReadable(path: string, bytes: number): void {
  if (bytes > MOST_BYTES_READ)
    throw badRequest(`${path} in the guest is ${bytes} bytes long; ${MOST_BYTES_READ} are read at most.`, 'TooLarge')
}

/** Every directory above it, from the root. */
export const directoriesOf = (path: string): string[] =>
  posix
    .dirname(path)
    .split('/')
    .filter(Boolean)
    .map((_, i, all) => `/${all.slice(0, i + 1).join('/')}`)

export const noFileSystem = (disk: string, where: string) =>
  badRequest(`${disk} has no ext file system ${where}: files cannot be put there.`, 'NoFileSystem')

export const notWritten = (path: string, why: string) =>
  /no free space|could not allocate/i.test(why)
    ? new Fault(507, 'NoSpace', `The guest's file system has no room for ${path}.`)
    : new Fault(500, 'NotWritten', `${path} could not be put into the guest's file system: ${why.trim() || 'no reason given'}`)
