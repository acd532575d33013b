import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { DiskOffer, DisksWanted } from '../../compute/rpc.ts'
import type { OwnDisk } from '../../drivers/qemu-img/driver.ts'
import { unavailable } from '../../kernel/errors/errors.ts'
import { isHeldElsewhere } from './instance-directory.ts'
import { spaceFault } from './no-space.ts'
import type { World } from './world.ts'

/** Disks go straight from one host to the other, on the network that joins the hosts; control only says who may fetch what. */

const NOBODY_CAME_MS = 600_000
const STALLED_MS = 60_000
const ROOT = 'disk'
/** The root disk with all that is below it, while it is carried. */
const WHOLE = 'disk.whole'

interface Standing {
  server: Server
  offer: DiskOffer
  age: NodeJS.Timeout
}

/** Offers of this process; they go with it, and whoever was fetching asks anew. */
export function diskOffers(world: World) {
  const { places, options, machine } = world
  const standing = new Map<string, Standing>()

  async function offer({ uuid, which }: { uuid: string; which: DisksWanted }): Promise<DiskOffer> {
    await withdraw(uuid)
    if (which === 'whole') await flatten(uuid)
    const drive = basename(places.configDrive(uuid))
    const others = [basename(places.ephemeral(uuid)), basename(places.swap(uuid)), drive]
    const wanted = which === 'drive' ? [drive] : [which === 'whole' ? WHOLE : ROOT, ...others]
    const sizes = await Promise.all(wanted.map((name) => sizeOf(places.carried(uuid, name))))
    const disks = wanted.flatMap((name, i) => (sizes[i] === undefined ? [] : [{ name, bytes: sizes[i] }]))
    const token = randomBytes(32).toString('base64url')
    const server = createServer((request, response) => serve(uuid, request, response))
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, options.hostIp, resolve))
    const made = { url: `http://${options.hostIp}:${(server.address() as AddressInfo).port}`, token, disks }
    const age = setTimeout(() => withdraw(uuid), NOBODY_CAME_MS)
    age.unref()
    standing.set(uuid, { server, offer: made, age })
    return made
  }

  async function flatten(uuid: string): Promise<void> {
    try {
      await machine.qemuImg.convert({ path: places.disk(uuid), format: 'qcow2' }, { path: places.carried(uuid, WHOLE), format: 'qcow2' })
    } catch (error) {
      throw spaceFault(error, options.host, places.directory, `a whole copy of the disk of server ${uuid}`)
    }
  }

  function serve(uuid: string, request: IncomingMessage, response: ServerResponse): void {
    const { offer: made, age } = standing.get(uuid) ?? {}
    const given = Buffer.from(request.headers.authorization?.replace(/^Bearer /, '') ?? '')
    const token = Buffer.from(made?.token ?? '')
    const disk = made?.disks.find(({ name }) => request.url === `/${name}`)
    if (!made || given.length !== token.length || !timingSafeEqual(given, token)) return void response.writeHead(401).end()
    if (!disk || request.method !== 'GET') return void response.writeHead(404).end()
    age?.refresh()
    response.writeHead(200, { 'content-length': disk.bytes })
    pipeline(createReadStream(places.carried(uuid, disk.name)), response).catch((error) =>
      world.log.warn({ err: error, uuid, disk: disk.name }, 'a disk was not carried to its end'),
    )
  }

  async function withdraw(uuid: string): Promise<void> {
    const one = standing.get(uuid)
    standing.delete(uuid)
    if (one) {
      clearTimeout(one.age)
      one.server.close()
      one.server.closeAllConnections()
    }
    await rm(places.carried(uuid, WHOLE), { force: true })
  }

  async function withdrawAll(): Promise<void> {
    await Promise.all([...standing.keys()].map(withdraw))
  }

  return { offer, withdraw, withdrawAll }
}

/** Told twice, a disk is fetched again; where the hosts share their storage it is there. @throws Fault 503 when the other host does not give it whole, 507 when there is no room */
export async function takeDisks(
  world: World,
  { uuid, offer, base }: { uuid: string; offer: DiskOffer; base: { path: string; format: string } | null },
): Promise<{ disks: string[]; bytes: number }> {
  const { places, machine, options } = world
  if (await isHeldElsewhere(world, uuid)) return { disks: [], bytes: 0 }
  for (const { name, bytes } of offer.disks) {
    const path = places.carried(uuid, name === WHOLE ? ROOT : name)
    try {
      await fetchInto(`${path}.part`, new URL(`/${name}`, offer.url), offer.token, bytes)
      await rename(`${path}.part`, path)
    } catch (error) {
      await rm(`${path}.part`, { force: true })
      throw spaceFault(error, options.host, places.directory, `the disk of server ${uuid}`)
    }
  }
  if (base && offer.disks.some(({ name }) => name === ROOT))
    await machine.qemuImg.rebase(places.disk(uuid), { path: base.path, format: base.format as OwnDisk['format'] }, { moved: true })
  return { disks: offer.disks.map((disk) => disk.name), bytes: offer.disks.reduce((sum, disk) => sum + disk.bytes, 0) }
}

async function fetchInto(path: string, url: URL, token: string, bytes: number): Promise<void> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = get(url, { headers: { authorization: `Bearer ${token}` }, timeout: STALLED_MS }, resolve)
    request.once('error', reject).once('timeout', () => request.destroy(unavailable(`${url} gives nothing any more`, 'NoDisk')))
  })
  if (response.statusCode !== 200) {
    response.resume()
    throw unavailable(`${url} answered ${response.statusCode}: its offer was withdrawn`, 'NoDisk')
  }
  await pipeline(response, createWriteStream(path, { mode: 0o644 }))
  const { size } = await stat(path)
  if (size !== bytes) throw unavailable(`${url} gave ${size} of ${bytes} bytes`, 'NoDisk')
}

const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
