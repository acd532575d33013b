import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { migrations } from '../db/migrations.ts'
import type { IdentityTables } from '../db/tables.ts'
import { bareIdentity } from '../testing.ts'
import { listAssignments } from './assignments.ts'
import { bootstrap } from './bootstrap.ts'
import { catalog, listEndpoints, listServices } from './catalog.ts'
import type { IdentityContext } from './context.ts'
import { createProject, deleteProject, listProjects, updateProject } from './project.ts'
import { projectsOfUser } from './reach.ts'
import { createRole, deleteRole, grant, imply, ungrant } from './role.ts'
import { issueToken, revoke, validateToken } from './tokens.ts'
import { createGroup, createUser, deleteUser, listUsers, setMember, updateUser } from './user.ts'

const directory = mkdtempSync(join(tmpdir(), 'yun-tokens-'))
after(() => rmSync(directory, { recursive: true }))

describe('tokens and the directory', () => {
  eachDatabase<IdentityTables>(migrations, (open) => {
    const identity = async () => bareIdentity(await open(), directory)

    /** A user with a role on a project, in a domain of its own. */
    async function somebody(context: IdentityContext) {
      const domain = await createProject(context, { name: 'd' }, true)
      const project = await createProject(context, { name: 'p', domain_id: domain.id }, false)
      const user = await createUser(context, { name: 'u', domain_id: domain.id, password: 'pass' })
      const role = await createRole(context, { name: 'member' })
      await grant(context, { actor: { kind: 'user', id: user.id }, target: { kind: 'project', id: project.id }, roleId: role.id })
      const login = (password = 'pass') =>
        issueToken(context, {
          identity: { methods: ['password'], password: { user: { name: 'u', domain: { name: 'd' }, password } } },
          scope: { project: { name: 'p', domain: { name: 'd' } } },
        })
      return { domain, project, user, role, login }
    }
    const gone = { status: 404, code: 'TokenNotFound' }

    test('a token is the same read from memory and from the database', async () => {
      const context = await identity()
      const { login } = await somebody(context)
      const { token, validated } = await login()
      assert.equal(await validateToken(context, token), validated)
      context.validated.clear()
      const read = await validateToken(context, token)
      assert.deepEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(validated)))
    })

    test('each change that a token depends on ends it', async () => {
      const context = await identity()
      const { login, user, project, domain, role } = await somebody(context)
      const onProject = { actor: { kind: 'user', id: user.id }, target: { kind: 'project', id: project.id }, roleId: role.id } as const
      const changes: [ends: () => Promise<unknown>, mends: () => Promise<unknown>][] = [
        [() => updateUser(context, user.id, { enabled: false }), () => updateUser(context, user.id, { enabled: true })],
        [() => updateUser(context, user.id, { password: 'pass' }), async () => {}],
        [
          () => updateProject(context, project.id, { enabled: false }, false),
          () => updateProject(context, project.id, { enabled: true }, false),
        ],
        [
          () => updateProject(context, domain.id, { enabled: false }, true),
          () => updateProject(context, domain.id, { enabled: true }, true),
        ],
        [() => ungrant(context, onProject), () => grant(context, onProject)],
        [() => revoke(context, { userId: user.id }), async () => {}],
      ]
      for (const [ends, mends] of changes) {
        const { token } = await login()
        await validateToken(context, token)
        await ends()
        await assert.rejects(validateToken(context, token), gone, String(ends))
        await mends()
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      const { token } = await login()
      await deleteUser(context, user.id)
      await assert.rejects(validateToken(context, token), gone)
    })

    test('a token that is revoked while it is being read is not remembered', async () => {
      const context = await identity()
      const { login, user } = await somebody(context)
      for (let round = 0; round < 5; round++) {
        const { token } = await login()
        context.validated.clear()
        await Promise.allSettled([validateToken(context, token), revoke(context, { userId: user.id }), validateToken(context, token)])
        await assert.rejects(validateToken(context, token), gone)
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    })

    test('revocations that no living token can need any more are forgotten', async () => {
      const context = await identity()
      await revoke({ ...context, tokenLifeMs: -1000 }, { auditId: 'old' })
      await revoke(context, { auditId: 'new' })
      const rows = await context.database.db.selectFrom('revocations').select('audit_id').execute()
      assert.deepEqual(
        rows.map((row) => row.audit_id),
        ['new'],
      )
    })

    test('roles come directly, by group, by inheritance and by implication, also in circles', async () => {
      const context = await identity()
      const { login, user, project, domain, role } = await somebody(context)
      const names = async () => (await login()).validated.roles.map((one) => one.name).toSorted()
      const [reader, auditor, boss] = [
        await createRole(context, { name: 'reader' }),
        await createRole(context, { name: 'auditor' }),
        await createRole(context, { name: 'boss' }),
      ]
      await imply(context, role.id, reader.id)
      await imply(context, reader.id, role.id)
      await imply(context, role.id, reader.id)
      assert.deepEqual(await names(), ['member', 'reader'])
      const group = await createGroup(context, { name: 'g', domain_id: domain.id })
      await setMember(context, group.id, user.id, true)
      await grant(context, { actor: { kind: 'group', id: group.id }, target: { kind: 'project', id: project.id }, roleId: auditor.id })
      assert.deepEqual(await names(), ['auditor', 'member', 'reader'])
      const onDomain = { actor: { kind: 'user', id: user.id }, target: { kind: 'domain', id: domain.id }, roleId: boss.id } as const
      await grant(context, onDomain)
      assert.deepEqual(await names(), ['auditor', 'member', 'reader'])
      await grant(context, { ...onDomain, inherited: true })
      assert.deepEqual(await names(), ['auditor', 'boss', 'member', 'reader'])
      const all = await listAssignments(context, { 'user.id': user.id, effective: true })
      assert.equal(all.length, 5)
      assert.ok(all.every((one) => one.actor && one.target && one.role))
      await deleteRole(context, boss.id)
      assert.deepEqual(await names(), ['auditor', 'member', 'reader'])
    })

    test('reach, filters and names by case', async () => {
      const context = await identity()
      const { user, project, domain } = await somebody(context)
      const ids = (rows: { id: string }[]) => rows.map((one) => one.id)
      assert.deepEqual(ids(await projectsOfUser(context, user.id)), [project.id])
      await updateProject(context, project.id, { enabled: false }, false)
      assert.deepEqual(await projectsOfUser(context, user.id), [])
      assert.deepEqual(ids(await listProjects(context, { domain_id: domain.id, enabled: false }, false)), [project.id])
      assert.deepEqual(await listUsers(context, { name: 'U' }), [])
      assert.deepEqual(ids(await listUsers(context, { name: 'u', domain_id: domain.id, enabled: true })), [user.id])
      await deleteProject(context, project.id, false)
      assert.deepEqual(await listAssignments(context, {}), [])
    })

    test('what a cloud begins with is made once; a later start changes addresses only', async () => {
      const context = await identity()
      const input = { adminPassword: 'a', demoPassword: 'b', servicePassword: 'c', publicUrl: 'http://one', region: 'RegionOne' }
      await bootstrap(context, input)
      const users = await listUsers(context, {})
      const endpoints = await listEndpoints(context, {})
      await bootstrap(context, { ...input, adminPassword: 'other', publicUrl: 'http://two' })
      assert.deepEqual(await listUsers(context, {}), users)
      const moved = await listEndpoints(context, {})
      assert.equal(moved.length, endpoints.length)
      assert.ok(moved.every((one) => one.url.startsWith('http://two/')))
      const unscoped = (await catalog(context, { userId: 'somebody', projectId: null })).flatMap((service) => service.endpoints)
      assert.ok(unscoped.every((one) => !one.url.includes('$(')))
    })

    test('control processes that start at once make it once', async () => {
      const context = await identity()
      if (context.database.dialect === 'sqlite') return // one process alone has it
      const input = { adminPassword: 'a', demoPassword: 'b', servicePassword: 'c', publicUrl: 'http://one', region: 'RegionOne' }
      await Promise.all([bootstrap(context, input), bootstrap(context, input), bootstrap(context, input)])
      const endpoints = await listEndpoints(context, {})
      assert.equal(new Set(endpoints.map((one) => `${one.service_id} ${one.interface}`)).size, endpoints.length)
      assert.equal((await listServices(context, {})).length, endpoints.length / 3)
    })

    test('a token leaves the first step of the trace, without the token or a password in it', async () => {
      const context = await identity()
      const { login } = await somebody(context)
      const records: StepRecord[] = []
      const silence = onStep((one) => records.push(one))
      const { token, validated } = await login()
      silence()
      const mine = records.filter((one) => one.subject === `token:${validated.auditIds[0]}`)
      assert.equal(mine.length, 1)
      assert.deepEqual([mine[0]!.step, mine[0]!.name, mine[0]!.evidence.text], [1, 'token', 'fernet, u on project p'])
      assert.ok(!JSON.stringify(records).includes(token))
    })
  })
})
