import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { migrations } from '../db/migrations.ts'
import { bareIdentity } from '../testing.ts'
import type { IdentityTables } from './context.ts'
import { extraIn } from './extra.ts'
import { optionsIn } from './options.ts'
import { createProject, deleteProject, findProject, listProjects, updateProject } from './project.ts'
import { changeTags, tagsIn } from './project-tags.ts'
import { createRole, deleteRole, findRole, updateRole } from './role.ts'
import { createGroup, createUser, findGroup, findUser, updateGroup, updateUser } from './user.ts'

const directory = mkdtempSync(join(tmpdir(), 'yun-at-once-'))
after(() => rmSync(directory, { recursive: true }))

describe('changes in the same moment', () => {
  eachDatabase<IdentityTables>(migrations, (open) => {
    const identity = async () => bareIdentity(await open(), directory)
    const OPTIONS = ['lock_password', 'ignore_password_expiry', 'ignore_user_inactivity', 'ignore_lockout_failure_attempts'] as const
    const storm = (change: (n: number) => Promise<unknown>) => Promise.all(OPTIONS.map((_, n) => change(n)))

    test('none of a user’s options is lost, nor the password that is set meanwhile', async () => {
      const context = await identity()
      await createProject(context, { id: 'default', name: 'Default' }, true)
      const user = await createUser(context, { name: 'u', password: 'first' })
      await Promise.all([
        storm((n) => updateUser(context, user.id, { options: { [OPTIONS[n]!]: true } })),
        updateUser(context, user.id, { password: 'second' }, { random: true }),
      ])
      const now = await findUser(context, user.id)
      assert.deepEqual(Object.keys(optionsIn(now)).sort(), [...OPTIONS].sort())
      assert.notEqual(now.password_hash, user.password_hash)
    })

    test('none of the attributes that others keep of users, groups, roles and projects is lost', async () => {
      const context = await identity()
      await createProject(context, { id: 'default', name: 'Default' }, true)
      const name = 'one'
      const user = await createUser(context, { name })
      const group = await createGroup(context, { name })
      const role = await createRole(context, { name })
      const project = await createProject(context, { name }, false)
      for (const [change, find] of [
        [(extra: object) => updateUser(context, user.id, { extra: { ...extra } }), () => findUser(context, user.id)],
        [(extra: object) => updateGroup(context, group.id, { extra: { ...extra } }), () => findGroup(context, group.id)],
        [(extra: object) => updateRole(context, role.id, { extra: { ...extra } }), () => findRole(context, role.id)],
        [
          (extra: object) => updateProject(context, project.id, { extra: { ...extra } }, false),
          () => findProject(context, project.id, false),
        ],
      ] as const) {
        await storm((n) => change({ [`k${n}`]: n }))
        assert.deepEqual(extraIn(await find()), { k0: 0, k1: 1, k2: 2, k3: 3 })
      }
    })

    test('what becomes immutable is changed before that or not at all', async () => {
      const context = await identity()
      await createProject(context, { id: 'default', name: 'Default' }, true)
      const options = { immutable: true }
      for (let round = 0; round < 4; round++) {
        const project = await createProject(context, { name: `p${round}` }, false)
        const role = await createRole(context, { name: `r${round}` })
        const [madeOne, gone, madeRole, roleGone] = await Promise.allSettled([
          updateProject(context, project.id, { options }, false),
          deleteProject(context, project.id, false),
          updateRole(context, role.id, { options }),
          deleteRole(context, role.id),
        ])
        assert.deepEqual([madeOne.status === gone.status, madeRole.status === roleGone.status], [false, false])
        const tagged = await createProject(context, { name: `t${round}` }, false)
        const [, tags] = await Promise.allSettled([
          updateProject(context, tagged.id, { options }, false),
          changeTags(context, tagged.id, () => ['a']),
        ])
        assert.equal(tagsIn(await findProject(context, tagged.id, false)).length, tags.status === 'fulfilled' ? 1 : 0)
      }
      for (const one of (await listProjects(context, {}, false)).filter(({ name }) => name.startsWith('p')))
        await assert.rejects(deleteProject(context, one.id, false), { status: 403 })
    })
  })
})
