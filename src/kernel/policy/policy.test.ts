import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Policy, type PolicyCredentials, parse } from './policy.ts'

const someone = (more: Partial<PolicyCredentials> = {}): PolicyCredentials => ({
  user_id: 'u1',
  project_id: 'p1',
  domain_id: null,
  user_domain_id: 'default',
  roles: ['Member', 'reader'],
  service_roles: [],
  is_admin: false,
  system_scope: null,
  ...more,
})
const holds = (text: string, target: Record<string, unknown> = {}, who = someone()) => parse(text)(who, target, new Map(), 0)

describe('the policy language', () => {
  test('everybody and nobody', () => {
    for (const text of ['', '@', '  ']) assert.ok(holds(text), text)
    assert.ok(!holds('!'))
    assert.ok(holds('not !'))
    assert.ok(holds('not not @'))
  })

  test('roles are compared without case', () => {
    assert.ok(holds('role:member'))
    assert.ok(holds('role:READER'))
    assert.ok(!holds('role:admin'))
    assert.ok(holds('role:%(needed)s', { needed: 'Reader' }))
    assert.ok(!holds('role:%(needed)s', {}))
  })

  test('and binds closer than or, not closer than and; parentheses change that', () => {
    assert.ok(holds('@ or ! and !'))
    assert.ok(!holds('(@ or !) and !'))
    assert.ok(!holds('not @ and @'))
    assert.ok(holds('not (@ and !)'))
    assert.ok(holds('(role:admin or (role:member and project_id:%(project_id)s))', { project_id: 'p1' }))
    assert.ok(holds('@ AND NOT !'))
  })

  test('attributes of the caller against those of the target', () => {
    assert.ok(holds('project_id:%(project_id)s', { project_id: 'p1' }))
    assert.ok(!holds('project_id:%(project_id)s', { project_id: 'p2' }))
    assert.ok(!holds('project_id:%(project_id)s', {}))
    assert.ok(!holds('project_id:%(project_id)s', { project_id: null }))
    assert.ok(holds('user_id:u1'))
    assert.ok(holds('is_admin:False'))
    assert.ok(holds('is_admin:True', {}, someone({ is_admin: true })))
    assert.ok(holds('system_scope:all', {}, someone({ system_scope: 'all' })))
    assert.ok(!holds('system_scope:all'))
    assert.ok(holds('user_domain_id:%(target.user.domain_id)s', { target: { user: { domain_id: 'default' } } }))
    assert.ok(holds('user_domain_id:%(target.user.domain_id)s', { 'target.user.domain_id': 'default' }))
    assert.ok(!holds('user_domain_id:%(target.user.domain_id)s', { target: null }))
    assert.ok(holds('roles:%(role)s', { role: 'reader' }))
    assert.ok(holds('service_roles:service', {}, someone({ service_roles: ['service'] })))
  })

  test('an absent value never equals an absent value', () => {
    assert.ok(!holds('domain_id:%(domain_id)s', { domain_id: null }))
    assert.ok(!holds('domain_id:%(domain_id)s', { domain_id: 'None' }))
    assert.ok(!holds('nothing:%(nothing)s', {}))
  })

  test('a literal on the left', () => {
    assert.ok(holds("'public':%(visibility)s", { visibility: 'public' }))
    assert.ok(!holds("'public':%(visibility)s", { visibility: 'private' }))
    assert.ok(!holds("'public':%(visibility)s", {}))
    assert.ok(holds("role:admin or 'a b:c':%(text)s", { text: 'a b:c' }))
    assert.ok(holds("user_id:'u1'"))
  })

  test('what cannot be parsed says why', () => {
    for (const [text, why] of [
      ['role:admin or', /ends where a check is needed/],
      ['(role:admin', /not closed/],
      ['role:admin)', /not expected/],
      ['role:admin role:member', /not expected/],
      ['admin', /no check/],
      ['http://policy.example/check', /not supported/],
    ] as const)
      assert.throws(() => parse(text), why, text)
  })
})

describe('a policy', () => {
  const defaults = {
    default: '!',
    admin: 'role:admin',
    owner: 'project_id:%(project_id)s',
    admin_or_owner: 'rule:admin or rule:owner',
    'server:start': 'rule:admin_or_owner',
    'server:migrate': 'rule:admin',
  }
  const mine = { project_id: 'p1' }

  test('decides by rules that refer to rules, and tells the text', () => {
    const policy = new Policy(defaults)
    assert.deepEqual(policy.decide('server:start', someone(), mine), { allowed: true, rule: 'server:start', text: 'rule:admin_or_owner' })
    assert.equal(policy.decide('server:start', someone(), { project_id: 'p2' }).allowed, false)
    assert.equal(policy.decide('server:migrate', someone(), mine).allowed, false)
  })

  test('overrides replace a default, also below rules that use it, and may add rules', () => {
    const policy = new Policy(defaults, { admin: 'role:member', 'my:rule': '@' })
    assert.ok(policy.decide('server:migrate', someone(), {}).allowed)
    assert.ok(policy.decide('my:rule', someone(), {}).allowed)
    assert.ok(policy.names().includes('my:rule'))
  })

  test('an unknown rule asks the default; without one it refuses', () => {
    assert.equal(new Policy(defaults).decide('server:nope', someone(), {}).allowed, false)
    assert.equal(new Policy({ ...defaults, default: '@' }).decide('server:nope', someone(), {}).allowed, true)
    assert.deepEqual(new Policy({}).decide('server:nope', someone({ is_admin: true, roles: ['admin'] }), {}), {
      allowed: false,
      rule: 'server:nope',
      text: '(no such rule)',
    })
    assert.equal(new Policy({ a: 'rule:nowhere' }).decide('a', someone(), {}).allowed, false)
  })

  test('rules in a circle and rules that cannot be parsed are named', () => {
    assert.throws(() => new Policy({ a: 'rule:b', b: 'rule:a' }).decide('a', someone(), {}), { code: 'PolicyFile' })
    assert.throws(() => new Policy(defaults, { 'server:start': 'role:admin or' }), /server:start.*ends where a check is needed/)
  })
})
