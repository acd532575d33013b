import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { MemoryBus } from '../kernel/bus/memory.ts'
import { silent } from '../kernel/log/log.ts'
import { createIdentity, type IdentityService } from './service.ts'
import { type IdentityHouse, identityHouse } from './testing.ts'

/** Two processes on one database: in one things change, the other remembers tokens. */
const directory = mkdtempSync(join(tmpdir(), 'yun-two-'))
const shared = {
  databaseUrl: `sqlite:${join(directory, 'identity.sqlite')}`,
  keyDirectory: join(directory, 'keys'),
  credentialKeyDirectory: join(directory, 'credential-keys'),
  bus: new MemoryBus(),
}
let house: IdentityHouse
let other: IdentityService
/** Never hears what changes. */
let deaf: IdentityService
before(async () => {
  house = await identityHouse(shared)
  const beside = (bus: MemoryBus) => createIdentity({ ...shared, bus, log: silent(), region: 'RegionOne' })
  other = await beside(shared.bus)
  deaf = await beside(new MemoryBus())
})
after(async () => {
  await Promise.all([other.stop(), deaf.stop()])
  await house.close()
  rmSync(directory, { recursive: true, force: true })
})

let made = 0
async function somebody() {
  const name = `somebody-${++made}`
  const domain = await house.make('domain', { name })
  const project = await house.make('project', { name, domain_id: domain.id })
  const user = await house.make('user', { name, domain_id: domain.id, password: 'first-pass' })
  const group = await house.make('group', { name, domain_id: domain.id })
  const role = await house.make('role', { name })
  const grant = `/projects/${project.id}/users/${user.id}/roles/${role.id}`
  assert.equal((await house.ask('PUT', grant)).status, 204)
  const token = () => house.token({ id: user.id, password: 'first-pass', scope: { project: { id: project.id } } })
  return { domain, project, user, group, role, grant, token }
}
type Somebody = Awaited<ReturnType<typeof somebody>>

const disable = (noun: string, id: string) => house.ask('PATCH', `/${noun}s/${id}`, { body: { [noun]: { enabled: false } } })
const CHANGES: [string, (who: Somebody, token: string) => Promise<unknown>][] = [
  ['the user is disabled', ({ user }) => disable('user', user.id)],
  ['the user is deleted', ({ user }) => house.ask('DELETE', `/users/${user.id}`)],
  [
    'an administrator sets the password',
    ({ user }) => house.ask('PATCH', `/users/${user.id}`, { body: { user: { password: 'second-pass' } } }),
  ],
  [
    'the user changes the password',
    ({ user }, token) =>
      house.ask('POST', `/users/${user.id}/password`, {
        token,
        body: { user: { original_password: 'first-pass', password: 'second-pass' } },
      }),
  ],
  ['the project is disabled', ({ project }) => disable('project', project.id)],
  ['the project is deleted', ({ project }) => house.ask('DELETE', `/projects/${project.id}`)],
  ['the domain is disabled', ({ domain }) => disable('domain', domain.id)],
  ['the role is taken', ({ grant }) => house.ask('DELETE', grant)],
  ['the role is deleted', ({ role }) => house.ask('DELETE', `/roles/${role.id}`)],
  [
    'the group that gave the role is left',
    async ({ group, project, user, role, grant }) => {
      await house.ask('PUT', `/projects/${project.id}/groups/${group.id}/roles/${role.id}`)
      await house.ask('PUT', `/groups/${group.id}/users/${user.id}`)
      await house.ask('DELETE', grant)
      await house.ask('DELETE', `/groups/${group.id}/users/${user.id}`)
    },
  ],
  ['the token is revoked', (_who, token) => house.ask('DELETE', '/auth/tokens', { headers: { 'x-subject-token': token } })],
]
const refused = { status: 401 }

/** Asks again until the word of the other process has come, which the bus may deliver a moment later. */
async function heard({ authenticator }: IdentityService, token: string): Promise<void> {
  for (const end = performance.now() + 2_000; performance.now() < end; await setImmediate()) await authenticator.validate(token)
}

for (const [what, change] of CHANGES)
  test(`${what}: the token is refused here at once, and by another process that remembers it as soon as it hears`, async () => {
    const who = await somebody()
    const token = await who.token()
    await setImmediate()
    for (const { authenticator } of [house.service, other]) {
      await authenticator.validate(token)
      assert.equal((await authenticator.validate(token)).cached, true)
    }
    await change(who, token)
    await assert.rejects(house.service.authenticator.validate(token), refused)
    await assert.rejects(heard(other, token), refused)
  })

test('a process that missed the word remembers a token for a minute and no longer', async (t) => {
  const who = await somebody()
  const token = await who.token()
  await deaf.authenticator.validate(token)
  await disable('user', who.user.id)
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 60_001 })
  await assert.rejects(deaf.authenticator.validate(token), refused)
})
