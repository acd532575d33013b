import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, unavailable } from '../kernel/errors/errors.ts'
import { type ExecOptions, exec } from '../kernel/exec/exec.ts'

/** A Debian package as the machine's apt sources offer it. */
export interface Package {
  name: string
  /** As the mirror names it, version included. */
  file: string
  /** `SHA512:<hex>` or `SHA256:<hex>`, from the signed package index. */
  digest: string
  bytes: number
}

const DOWNLOAD_LIMIT_MS = 15 * 60_000
const APT = ['-q', '-o', 'APT::Sandbox::User=root']

/**
 * The newest version of each named package, of all that they depend on, and of the kernel that `kernelMetapackage` points to.
 * @throws Fault 503 when apt is missing or knows no such package
 */
export async function resolvePackages(names: string[], kernelMetapackage: string): Promise<{ kernel: string; packages: Package[] }> {
  return withFreshIndex(async () => {
    const pointer = await apt('apt-cache', ['depends', kernelMetapackage])
    const kernel = pointer.match(/Depends: (linux-image-\S+)/)?.[1]
    if (!kernel) throw unavailable(`apt knows no kernel behind the package ${kernelMetapackage}`, 'GuestBuildFailed')
    const tree = await apt('apt-cache', ['depends', '--recurse', '--important', ...names])
    const closure = [...new Set(tree.split('\n').filter((line) => /^[a-z0-9][a-z0-9.+-]+$/.test(line)))]
    const uris = await apt('apt-get', [...APT, 'download', '--print-uris', kernel, ...closure])
    return { kernel, packages: parseUris(uris) }
  })
}

/** Reads the lines `'<uri>' <file> <bytes> <digest>` of `apt-get download --print-uris`. */
export function parseUris(text: string): Package[] {
  return [...text.matchAll(/^'[^']+' (\S+) (\d+) (SHA\d+:[0-9a-f]+)$/gm)].map(([, file, bytes, digest]) => ({
    name: file!.split('_')[0]!,
    file: file!,
    bytes: Number(bytes),
    digest: digest!,
  }))
}

/** Downloads those packages that `directory` does not hold yet, and checks all of them against their digests. Returns their paths in the order given. */
export async function fetchPackages(packages: Package[], directory: string): Promise<string[]> {
  await mkdir(directory, { recursive: true })
  const missing: Package[] = []
  for (const each of packages) if (!(await intact(join(directory, each.file), each))) missing.push(each)
  if (missing.length > 0)
    await withFreshIndex(async () => {
      const scratch = await mkdtemp(join(directory, '.download-'))
      try {
        await apt('apt-get', [...APT, 'download', ...missing.map((each) => each.name)], { cwd: scratch, timeoutMs: DOWNLOAD_LIMIT_MS })
        for (const each of missing) {
          if (!(await intact(join(scratch, each.file), each)))
            throw unavailable(`The package ${each.file} did not arrive whole; try again`, 'GuestBuildFailed')
          await rename(join(scratch, each.file), join(directory, each.file))
        }
      } finally {
        await rm(scratch, { recursive: true, force: true })
      }
    })
  return packages.map((each) => join(directory, each.file))
}

/** Unpacks packages, scripts not run, into one tree. */
export async function unpackPackages(files: string[], tree: string): Promise<void> {
  await mkdir(tree, { recursive: true })
  for (const file of files) await exec('dpkg-deb', ['-x', file, tree], { timeoutMs: 5 * 60_000 })
}

async function intact(path: string, wanted: Package): Promise<boolean> {
  const content = await readFile(path).catch(() => undefined)
  if (content?.length !== wanted.bytes) return false
  const [algorithm, hex] = wanted.digest.split(':')
  return createHash(algorithm!.toLowerCase()).update(content).digest('hex') === hex
}

/** A package index that is missing or older than the mirror is refreshed once, if we may. */
export async function withFreshIndex<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    if (process.getuid?.() !== 0) throw error
    await apt('apt-get', [...APT, 'update'], { timeoutMs: DOWNLOAD_LIMIT_MS })
    return action()
  }
}

/** Runs a program that reads packages. @throws Fault 503 with what it said and what to do */
export async function apt(program: string, args: string[], options: ExecOptions = {}): Promise<string> {
  try {
    return (await exec(program, args, { timeoutMs: 120_000, ...options })).stdout
  } catch (error) {
    throw unavailable(
      `Guests are built from Debian packages, and apt does not give them: ${describe(error).message}. ` +
        'It needs a Debian machine whose apt sources can be reached; `apt-get update` as root tells what is wrong.',
      'GuestBuildFailed',
      error,
    )
  }
}
