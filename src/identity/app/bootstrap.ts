import { createEndpoint, createService, ensureRegion, listEndpoints, listServices, updateEndpoint } from './catalog.ts'
import type { IdentityContext } from './context.ts'
import { checkPassword } from './password.ts'
import { createProject, findProject, listProjects } from './project.ts'
import { createRole, grant, imply, listRoles } from './role.ts'
import { createUser, listUsers, updateUser } from './user.ts'

export interface BootstrapInput {
  adminPassword: string
  demoPassword: string
  servicePassword: string
  /** `http://127.0.0.1:5000` */
  publicUrl: string
  region: string
}

const SERVICE_USERS = ['nova', 'placement', 'glance', 'neutron', 'cinder']
const CATALOG: [type: string, name: string, path: string][] = [
  ['identity', 'keystone', '/identity'],
  ['compute', 'nova', '/compute/v2.1'],
  ['placement', 'placement', '/placement'],
  ['image', 'glance', '/image'],
  ['network', 'neutron', '/network'],
  ['volumev3', 'cinderv3', '/volume/v3/$(project_id)s'],
  ['block-storage', 'cinder', '/volume/v3/$(project_id)s'],
]

/** What a cloud begins with. Finds what is there; a later start may only change addresses and passwords that were made anew. */
export const bootstrap = (context: IdentityContext, input: BootstrapInput): Promise<void> =>
  context.database.alone(() => begin(context, input))

async function begin(context: IdentityContext, input: BootstrapInput): Promise<void> {
  await findProject(context, 'default', true).catch(() =>
    createProject(context, { id: 'default', name: 'Default', description: 'The default domain' }, true),
  )
  const projects: Record<string, string> = {}
  for (const name of ['admin', 'demo', 'service', 'openstack'])
    projects[name] = (
      (await listProjects(context, { name, domain_id: 'default' }, false))[0] ?? (await createProject(context, { name }, false))
    ).id
  const roles: Record<string, string> = {}
  for (const name of ['admin', 'manager', 'member', 'reader', 'service'])
    roles[name] = ((await listRoles(context, { name }))[0] ?? (await createRole(context, { name, options: { immutable: true } }))).id
  for (const [prior, implied] of [
    ['admin', 'manager'],
    ['manager', 'member'],
    ['member', 'reader'],
  ] as const)
    await imply(context, roles[prior]!, roles[implied]!)

  const admin = await user(context, 'admin', input.adminPassword, projects.admin!)
  const demo = await user(context, 'demo', input.demoPassword, projects.demo!)
  const on = (userId: string, project: string, role: string) =>
    grant(context, { actor: { kind: 'user', id: userId }, target: { kind: 'project', id: projects[project]! }, roleId: roles[role]! })
  for (const project of ['admin', 'demo', 'openstack']) await on(admin, project, 'admin')
  await grant(context, { actor: { kind: 'user', id: admin }, target: { kind: 'system', id: 'system' }, roleId: roles.admin! })
  await grant(context, { actor: { kind: 'user', id: admin }, target: { kind: 'domain', id: 'default' }, roleId: roles.admin! })
  await on(demo, 'demo', 'member')
  for (const name of SERVICE_USERS) {
    const id = await user(context, name, input.servicePassword, projects.service!)
    for (const role of ['admin', 'service']) await on(id, 'service', role)
  }
  await fillCatalog(context, input)
}

async function user(context: IdentityContext, name: string, password: string, projectId: string): Promise<string> {
  const found = (await listUsers(context, { name, domain_id: 'default' }))[0]
  const random = SERVICE_USERS.includes(name)
  if (!found) return (await createUser(context, { name, password, default_project_id: projectId }, { random })).id
  if (random && !(await checkPassword(password, found.password_hash))) await updateUser(context, found.id, { password }, { random })
  return found.id
}

async function fillCatalog(context: IdentityContext, { publicUrl, region }: BootstrapInput): Promise<void> {
  await ensureRegion(context, region)
  const services = await listServices(context, {})
  const endpoints = await listEndpoints(context, { region_id: region })
  for (const [type, name, path] of CATALOG) {
    const service = services.find((one) => one.type === type && one.name === name) ?? (await createService(context, { type, name }))
    for (const side of ['public', 'internal', 'admin']) {
      const url = publicUrl + path
      const known = endpoints.find((one) => one.service_id === service.id && one.interface === side)
      if (!known) await createEndpoint(context, { service_id: service.id, interface: side, url, region_id: region })
      else if (known.url !== url) await updateEndpoint(context, known.id, { url })
    }
  }
}
