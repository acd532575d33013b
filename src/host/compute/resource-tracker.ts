import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { Claim, FlavorSpec } from '../../compute/rpc.ts'
import { conflict } from '../../kernel/errors/errors.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { spaceFault } from './no-space.ts'
import type { World } from './world.ts'

interface Resources {
  vcpus: number
  memoryMiB: number
  diskGiB: number
}

interface Held extends Resources {
  claimId: string
  uuid: string
}

export interface ClaimWanted {
  uuid: string
  flavor: FlavorSpec
  imageBacked: boolean
  limits?: Partial<Resources>
}

/** As Nova's defaults: how often a resource may be given away. */
const RATIOS: Resources = { vcpus: 16, memoryMiB: 1.5, diskGiB: 1 }
const UNITS: Record<keyof Resources, string> = { vcpus: 'vCPU', memoryMiB: 'MiB of memory', diskGiB: 'GiB of disk' }
const KINDS = Object.keys(UNITS) as (keyof Resources)[]

/** Step 17. What servers were promised, a file each, so that the next process knows them too. */
export function resourceTracker({ facts, places, options, log }: World) {
  const held = new Map<string, Held>()
  const reserved: Resources = { vcpus: 0, memoryMiB: options.reservedMemoryMiB ?? 512, diskGiB: 0 }

  const used = (without?: string): Resources => {
    const sum = { ...reserved }
    for (const claim of held.values()) if (claim.uuid !== without) for (const kind of KINDS) sum[kind] += claim[kind]
    return sum
  }

  async function load(): Promise<void> {
    await mkdir(places.claims, { recursive: true, mode: 0o700 })
    held.clear()
    for (const name of await readdir(places.claims)) {
      if (!name.endsWith('.json')) continue
      try {
        const claim: Held = JSON.parse(await readFile(`${places.claims}/${name}`, 'utf8'))
        held.set(claim.uuid, claim)
      } catch (error) {
        log.warn({ err: error, name }, 'a claim cannot be read: its server counts as nothing here until it is resized or built again')
      }
    }
  }

  /** @throws Fault 409 ResourcesGone, naming what is short */
  async function claim({ uuid, flavor, imageBacked, limits = {} }: ClaimWanted): Promise<Claim> {
    const { vcpus, memoryMiB } = await facts.get()
    const { diskGiB } = await facts.disk()
    const capacity: Resources = { vcpus, memoryMiB, diskGiB }
    const wanted = resourcesOf(flavor, imageBacked)
    // from here to the map nothing waits: two claims never see the same room
    const others = used(uuid)
    const limit = (kind: keyof Resources) => limits[kind] ?? Math.floor(capacity[kind] * RATIOS[kind])
    const free = (kind: keyof Resources) => limit(kind) - others[kind]
    const short = KINDS.filter((kind) => wanted[kind] > 0 && wanted[kind] > free(kind))
    if (short.length > 0)
      throw conflict(
        `Host ${options.host} has no room for server ${uuid}: ${short.map((kind) => `${wanted[kind]} ${UNITS[kind]} wanted, ${Math.max(0, free(kind))} left`).join('; ')}.`,
        'ResourcesGone',
        { host: options.host, short },
      )
    const before = held.get(uuid)
    const mine: Held = { claimId: before?.claimId ?? randomUUID(), uuid, ...wanted }
    held.set(uuid, mine)
    try {
      await keep(mine)
    } catch (error) {
      if (before) held.set(uuid, before)
      else held.delete(uuid)
      throw spaceFault(error, options.host, places.claims, `the claim of server ${uuid}`)
    }
    const left = Object.fromEntries(KINDS.map((kind) => [kind, free(kind) - wanted[kind]])) as unknown as Resources
    return { claimId: mine.claimId, ...wanted, free: left }
  }

  async function keep(claim: Held): Promise<void> {
    const path = places.claim(claim.uuid)
    await writeFile(`${path}.new`, JSON.stringify(claim))
    await rename(`${path}.new`, path)
  }

  async function unclaim(uuid: string): Promise<void> {
    held.delete(uuid)
    await rm(places.claim(uuid), { force: true })
  }

  return { load, claim, unclaim, used: () => used(), claims: () => [...held.keys()] }
}

export type ResourceTracker = ReturnType<typeof resourceTracker>

const resourcesOf = (flavor: FlavorSpec, imageBacked: boolean): Resources => ({
  vcpus: flavor.vcpus,
  memoryMiB: flavor.ramMiB,
  diskGiB: (imageBacked ? flavor.rootGiB : 0) + flavor.ephemeralGiB + Math.ceil((flavor.swapMiB * MiB) / GiB),
})
