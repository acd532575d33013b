import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import type { Disc, Iso } from './driver.ts'
import { discLabel, discPath, isoInvalid, isoNotFound } from './real.ts'

const SIGNATURE = 'yun simulated disc'

/** genisoimage's twin: a disc is a JSON file. */
export function simulatedIso(): Iso {
  return { create, read }
}

async function create(path: string, disc: Disc): Promise<number> {
  const files = Object.fromEntries([...disc.files].map(([name, content]) => [discPath(name), Buffer.from(content).toString('base64')]))
  await writeFile(`${path}.part`, JSON.stringify({ signature: SIGNATURE, label: discLabel(disc.label), files }), { mode: 0o600 })
  await rename(`${path}.part`, path)
  return (await stat(path)).size
}

async function read(path: string): Promise<Disc> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw isoNotFound(path)
  })
  const picture = parse(text)
  if (picture?.signature !== SIGNATURE) throw isoInvalid(path)
  const files = Object.entries(picture.files as Record<string, string>).map(
    ([name, base64]) => [name, Buffer.from(base64, 'base64')] as const,
  )
  return { label: picture.label, files: new Map(files) }
}

function parse(text: string): any {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
