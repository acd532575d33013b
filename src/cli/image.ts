import { copyFile, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type GuestKind, guest } from '../cloud/guest-image.ts'
import { whoRuns } from '../cloud/lock.ts'
import { defaultStateDir } from '../cloud/settings.ts'
import type { GuestImage } from '../guest/image-cache.ts'
import { badRequest, Fault } from '../kernel/errors/errors.ts'
import { showBytes, showMs } from '../kernel/units/units.ts'
import type { Api } from './api.ts'
import { adminApi } from './session.ts'
import { uploadImage } from './upload.ts'

const KINDS: Record<GuestKind, { about: string; user: string; os: Record<string, string> }> = {
  tiny: {
    about: 'boots in seconds: BusyBox, an ssh server and scripts that do what cloud-init does',
    user: 'cirros',
    os: { os_type: 'linux' },
  },
  debian: {
    about: 'Debian 12 with systemd and cloud-init (needs root; some minutes)',
    user: 'debian',
    os: { os_type: 'linux', os_distro: 'debian', os_version: '12' },
  },
}

const HELP = `Builds a guest image from Debian packages, out of the archive that this machine's apt reads, and gives it to the running cloud.

Usage: npx yun image build NAME [options]

${Object.entries(KINDS)
  .map(([name, { about, user }]) => `  ${name.padEnd(12)} ${about}; its user is ${user}`)
  .join('\n')}

  --output FILE   write the qcow2 file there instead
  --state DIR     of the cloud that gets it
  --as NAME       what it is called there (NAME)
  --refresh       from the packages of today, also when there is an image that was built before
`

const OPTIONS = {
  output: { type: 'string' },
  state: { type: 'string' },
  as: { type: 'string' },
  refresh: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

function read(argv: string[]) {
  try {
    return parseArgs({ args: argv, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw badRequest((error as Error).message, 'Usage')
  }
}

export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = read(argv)
  const [action, name, ...more] = positionals
  if (values.help || action !== 'build' || !name || more.length > 0) {
    console.log(HELP)
    return values.help ? 0 : 2
  }
  if (!Object.hasOwn(KINDS, name)) throw badRequest(`there is no guest ${name}; there are: ${Object.keys(KINDS).join(', ')}`, 'Usage')
  const kind = name as GuestKind
  const started = performance.now()
  const image = await guest(kind, {
    onProgress: (text) => console.log(` Guest      · ${text}`),
    refresh: values.refresh === true,
  })
  console.log(
    ` Guest      · ${kind} with kernel ${image.kernel}, ${image.packages.length} packages, ${showBytes(image.bytes)}, after ${showMs(performance.now() - started)}`,
  )
  if (values.output) return await write(image.path, resolve(values.output))
  const stateDir = resolve(values.state ?? defaultStateDir())
  if (!(await whoRuns(stateDir))) {
    console.log(` File       · ${image.path}\n no cloud runs on ${stateDir} that would take it; --output FILE writes a copy`)
    return 0
  }
  const id = await register(await adminApi(stateDir), kind, image, values.as ?? kind)
  console.log(` Glance     · image ${values.as ?? kind} is ${id}`)
  return 0
}

/** The image of the cloud with this content, uploaded unless it is there. */
async function register(api: Api, kind: GuestKind, image: GuestImage, name: string): Promise<string> {
  const { images } = await api.get(`/image/v2/images?status=active&name=${encodeURIComponent(name)}`)
  const same = images.find((one: any) => one.guest_sha256 === image.sha256)
  if (same) return same.id
  const record = {
    name,
    disk_format: 'qcow2',
    min_ram: image.minRamMiB,
    min_disk: Math.ceil(image.virtualSizeMiB / 1024),
    guest_sha256: image.sha256,
    ...KINDS[kind].os,
  }
  return (await uploadImage(api, record, image.path)).id
}

/** Others may read the file at any time: it is there whole or not at all. */
async function write(from: string, to: string): Promise<number> {
  const part = `${to}.part`
  try {
    await copyFile(from, part)
    await rename(part, to)
  } catch (error) {
    await rm(part, { force: true })
    const { code, message } = error as NodeJS.ErrnoException
    throw code === 'ENOSPC'
      ? new Fault(507, 'DiskFull', `no room for ${to}; the image is in ${from} already`)
      : badRequest(`${to} cannot be written: ${message}`, 'Output')
  }
  console.log(` File       · ${to}`)
  return 0
}
