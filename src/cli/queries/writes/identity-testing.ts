import type { Yard } from '../../../compute/sagas/testing.ts'
import type { Ask } from '../counting-testing.ts'
import type { Sown } from '../sown-testing.ts'
import type { Writes } from './writes-testing.ts'

const V3 = '/identity/v3'

/** What belongs to a user, a group, a role, a project, a domain, a service and a region; `me` is who asks. */
export async function extendDirectory(of: Sown, me: string, ask: Ask, name: string): Promise<void> {
  const made = async (noun: string, fields: object = {}): Promise<string> =>
    (await ask('POST', `${V3}/${noun}s`, { [noun]: { name, ...fields } }))[noun].id
  const [project, user, role] = [await made('project'), await made('user'), await made('role')]
  const group = await made('group', { domain_id: of.domain })
  for (const noun of ['project', 'user']) await made(noun, { domain_id: of.domain })
  await made('endpoint', { service_id: of.service, region_id: of.region, interface: 'internal', url: 'http://127.0.0.1' })
  for (const path of [
    `groups/${of.people}/users/${user}`,
    `groups/${group}/users/${of.user}`,
    `roles/${of.role}/implies/${role}`,
    `projects/${project}/users/${of.user}/roles/${of.role}`,
    `projects/${of.project}/users/${of.user}/roles/${role}`,
    `projects/${project}/groups/${of.people}/roles/${of.role}`,
    `projects/${of.project}/groups/${of.people}/roles/${role}`,
    `system/groups/${of.people}/roles/${role}`,
    `domains/${of.domain}/groups/${of.people}/roles/${role}`,
    `projects/${of.project}/tags/${name}`,
  ])
    await ask('PUT', `${V3}/${path}`)
  for (const user_id of [of.user, user])
    await ask('POST', `${V3}/credentials`, { credential: { user_id, project_id: of.project, type: 'totp', blob: name } })
  const sides = { trustor_user_id: me, trustee_user_id: of.user, impersonation: false }
  await ask('POST', `${V3}/OS-TRUST/trusts`, { trust: sides })
}

export const identityWrites: Writes = async (of, { yard, counts: { ask }, owners }) => {
  const { users } = await yard.cloud.api('GET', `${V3}/groups/${of.people}/users`)
  await directory(of, yard, ask)
  await grants(of, ask)
  await ofOneUser(of, owners.user, ask)
  await tags(of, users.length, ask)
  await nested(of, users.length, owners.user, ask)
  await ask('DELETE', `${V3}/auth/tokens`, undefined, { 'x-subject-token': await anotherToken(yard) })
}

/** What is there is changed; who or what is switched off is switched on again. */
async function directory(of: Sown, yard: Yard, ask: Ask): Promise<void> {
  const off = { enabled: false, name: `off-${of.namespace}` }
  const changes: [path: string, noun: string, change: object][] = [
    [`projects/${of.project}`, 'project', off],
    [`domains/${of.domain}`, 'domain', off],
    [`users/${of.user}`, 'user', { ...off, password: 'none that is used' }],
    [`groups/${of.people}`, 'group', { name: `new-${of.namespace}` }],
    [`roles/${of.role}`, 'role', { name: `new-${of.namespace}` }],
    [`services/${of.service}`, 'service', { name: `new-${of.namespace}` }],
    [`endpoints/${of.endpoint}`, 'endpoint', { service_id: of.service, region_id: of.region, url: 'http://127.0.0.2' }],
    [`regions/${of.region}`, 'region', { description: of.namespace }],
    [`policies/${of.policy}`, 'policy', { blob: of.namespace }],
    [`credentials/${of.kept}`, 'credential', { blob: of.namespace, project_id: of.project }],
  ]
  for (const [path, noun, change] of changes) {
    await ask('PATCH', `${V3}/${path}`, { [noun]: change })
    if ('enabled' in change) await yard.cloud.api('PATCH', `${V3}/${path}`, { [noun]: { enabled: true } })
  }
  await ask('PUT', `${V3}/regions/${of.namespace}`, { region: { parent_region_id: of.region } })
  await ask('DELETE', `${V3}/regions/${of.namespace}`)
  const { policy } = await ask('POST', `${V3}/policies`, { policy: { type: 'text', blob: of.namespace } })
  await ask('DELETE', `${V3}/policies/${policy.id}`)
  await ask('PUT', `${V3}/groups/${of.people}/users/${of.user}`)
  await ask('DELETE', `${V3}/groups/${of.people}/users/${of.user}`)
}

/** A role of one's own is given and taken wherever it can be, and implied. */
async function grants(of: Sown, ask: Ask): Promise<void> {
  const { role } = await ask('POST', `${V3}/roles`, { role: { name: `given-${of.namespace}` } })
  for (const actor of [`users/${of.user}`, `groups/${of.people}`]) {
    const paths = [`projects/${of.project}`, `domains/${of.domain}`, 'system'].map((target) => `${target}/${actor}/roles/${role.id}`)
    const inherited = paths.slice(0, 2).map((path) => `OS-INHERIT/${path}/inherited_to_projects`)
    for (const path of [...paths, ...inherited]) {
      await ask('PUT', `${V3}/${path}`)
      await ask('DELETE', `${V3}/${path}`)
    }
  }
  await ask('PUT', `${V3}/roles/${of.role}/implies/${role.id}`)
  await ask('DELETE', `${V3}/roles/${of.role}/implies/${role.id}`)
  await ask('DELETE', `${V3}/roles/${role.id}`)
}

/** What a user may log in with elsewhere. */
async function ofOneUser(of: Sown, me: string, ask: Ask): Promise<void> {
  const made = await ask('POST', `${V3}/users/${me}/application_credentials`, { application_credential: { name: `my-${of.namespace}` } })
  await ask('DELETE', `${V3}/users/${me}/application_credentials/${made.application_credential.id}`)
  const kept = await ask('POST', `${V3}/credentials`, { credential: { user_id: me, project_id: of.project, type: 'totp', blob: 'a' } })
  await ask('DELETE', `${V3}/credentials/${kept.credential.id}`)
  const key = await ask('POST', `${V3}/users/${me}/credentials/OS-EC2`, { tenant_id: of.project })
  await ask('DELETE', `${V3}/users/${me}/credentials/OS-EC2/${key.credential.access}`)
}

async function tags(of: Sown, count: number, ask: Ask): Promise<void> {
  const path = `${V3}/projects/${of.project}/tags`
  await ask('PUT', path, { tags: Array.from({ length: count }, (_, i) => `tag-${i}`) })
  await ask('PUT', `${path}/one`)
  await ask('DELETE', `${path}/one`)
  await ask('DELETE', path)
}

/** A role that is inherited from the topmost of as many projects is lent on the one at the bottom. */
async function nested(of: Sown, depth: number, me: string, ask: Ask): Promise<void> {
  const line: string[] = []
  for (let i = 0; i < depth + 1; i++) {
    const project = { name: `${of.namespace}-${i}`, domain_id: of.domain, parent_id: line.at(-1) ?? of.domain }
    line.push((await ask('POST', `${V3}/projects`, { project })).project.id)
  }
  const [top, bottom] = [line[0]!, line.at(-1)!]
  await ask('PUT', `${V3}/OS-INHERIT/projects/${top}/users/${me}/roles/${of.role}/inherited_to_projects`)
  const sides = { trustor_user_id: me, trustee_user_id: of.user, impersonation: true }
  const { trust } = await ask('POST', `${V3}/OS-TRUST/trusts`, { trust: { ...sides, project_id: bottom, roles: [{ id: of.role }] } })
  await ask('DELETE', `${V3}/OS-TRUST/trusts/${trust.id}`)
  for (const id of line.toReversed()) await ask('DELETE', `${V3}/projects/${id}`)
}

/** Of the same user as the one that asks. */
async function anotherToken({ cloud }: Yard): Promise<string> {
  const identity = { methods: ['token'], token: { id: cloud.token } }
  const payload = { auth: { identity, scope: 'unscoped' } }
  const answer = await cloud.control.server.fastify.inject({ method: 'POST', url: `${V3}/auth/tokens`, payload })
  return String(answer.headers['x-subject-token'])
}
