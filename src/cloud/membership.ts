import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HOST_ROLES, type HostRole, joinCluster, type Membership } from '../cluster/client.ts'
import { badRequest } from '../kernel/errors/errors.ts'
import { overNetwork } from '../kernel/http/client.ts'

/** What a host keeps of the cloud that it joined, in its state directory with mode 0600. */
export interface HostMembership extends Membership {
  /** Where control answers. */
  url: string
  roles: HostRole[]
}

const fileOf = (stateDir: string) => join(stateDir, 'host.json')

export function readMembership(stateDir: string): HostMembership | null {
  try {
    return JSON.parse(readFileSync(fileOf(stateDir), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** @throws Fault 401 for a token that is unknown, used or too old, 503 when control does not answer */
export async function joinCloud(
  stateDir: string,
  request: { url: string; token: string; host: string; roles: HostRole[] },
): Promise<HostMembership> {
  const { url, token, host, roles } = request
  const membership = { url, roles, ...(await joinCluster(overNetwork(url), { token, host, roles })) }
  mkdirSync(stateDir, { recursive: true, mode: 0o711 })
  writeFileSync(fileOf(stateDir), `${JSON.stringify(membership, null, 2)}\n`, { mode: 0o600 })
  return membership
}

/** `compute,network`. @throws Fault 400 */
export function rolesOf(text: string): HostRole[] {
  const roles = text.split(',').map((one) => one.trim())
  const unknown = roles.find((one) => !HOST_ROLES.includes(one as HostRole))
  if (unknown !== undefined) throw badRequest(`--roles: "${unknown}" is none of ${HOST_ROLES.join(', ')}`, 'Usage')
  return [...new Set(roles)] as HostRole[]
}
