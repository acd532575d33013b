import { randomBytes, randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Made at first start, mode 0600, and kept: nothing has a default password. */
export interface Secrets {
  adminPassword: string
  demoPassword: string
  /** Of the service users nova, neutron, glance, cinder, placement. */
  servicePassword: string
  /** Signs the instance id between the metadata proxy and compute. */
  metadataSecret: string
}

/** Hexadecimal: as a program's argument it is no flag. */
const fresh = () => randomBytes(18).toString('hex')

export function loadSecrets(stateDir: string): Secrets {
  mkdirSync(stateDir, { recursive: true, mode: 0o711 })
  const file = join(stateDir, 'secrets.json')
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const secrets: Secrets = { adminPassword: fresh(), demoPassword: fresh(), servicePassword: fresh(), metadataSecret: fresh() }
  const own = `${file}.${randomUUID()}` // processes of several machines may have one number
  writeFileSync(own, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(own, file) // of several processes that start at once one makes them, whole
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return JSON.parse(readFileSync(file, 'utf8'))
  } finally {
    rmSync(own)
  }
  return secrets
}
