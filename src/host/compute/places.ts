import { join } from 'node:path'
import { badRequest } from '../../kernel/errors/errors.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const HOST = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/
export const isUuid = (text: string) => UUID.test(text)

/** What becomes part of a path is looked at first. @throws Fault 400 */
function safe(text: string, pattern: RegExp): string {
  if (!pattern.test(text)) throw badRequest(`${JSON.stringify(text)} cannot be part of a file's name here.`, 'BadName')
  return text
}

/** Where everything lies; nothing else makes paths. */
export function placesIn(directory: string, host: string) {
  const claims = join(directory, '_claims', safe(host, HOST))
  const instance = (uuid: string) => join(directory, safe(uuid, UUID))
  const holders = (uuid: string) => join(directory, '_holders', safe(uuid, UUID))
  const within = (uuid: string, name: string) => join(instance(uuid), name)
  return {
    directory,
    bases: join(directory, '_base'),
    claims,
    base: (sha: string) => join(directory, '_base', safe(sha, /^[0-9a-f]{40}$/)),
    claim: (uuid: string) => join(claims, `${safe(uuid, UUID)}.json`),
    mark: (uuid: string) => join(directory, `_mark-${safe(uuid, UUID)}`),
    instance,
    /** Of which hosts a server's directory is: a file each. */
    holders,
    holder: (uuid: string, name: string) => join(holders(uuid), safe(name, HOST)),
    disk: (uuid: string) => within(uuid, 'disk'),
    keptDisk: (uuid: string, name: string) => within(uuid, `disk.${safe(name, /^[a-z][a-z0-9-]{0,40}$/)}`),
    /** Blank disks that a flavor brings. */
    swap: (uuid: string) => within(uuid, 'disk.swap'),
    ephemeral: (uuid: string) => within(uuid, 'disk.eph0'),
    configDrive: (uuid: string) => within(uuid, 'disk.config'),
    consoleLog: (uuid: string) => within(uuid, 'console.log'),
    /** Whatever disk is carried to another host, by its name. */
    carried: (uuid: string, name: string) => within(uuid, safe(name, /^disk(\.eph0|\.swap|\.config|\.whole)?$/)),
    /** The flattened copy on its way to the image service. */
    picture: (uuid: string, imageId: string) => within(uuid, `snapshot-${safe(imageId, UUID)}.qcow2`),
    /** What the guest writes while its disk is copied. */
    delta: (uuid: string, imageId: string) => within(uuid, `${DELTA}${safe(imageId, UUID)}`),
  }
}

export const DELTA = 'disk.delta-'
export type Places = ReturnType<typeof placesIn>
