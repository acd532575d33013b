import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryBus } from '../kernel/bus/memory.ts'
import type { Database } from '../kernel/db/database.ts'
import { type TestAnswer, type TestRequest, type TestServer, testServer } from '../kernel/http/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { type IdentityContext, type IdentityTables, NO_COMPLIANCE } from './app/context.ts'
import { KeyRing } from './app/fernet.ts'
import { createIdentity, type IdentityOptions, type IdentityService } from './service.ts'

export const PASSWORDS = { admin: 'admin-pass', demo: 'demo-pass', service: 'service-pass' }
export const URL = 'http://127.0.0.1:5000'

export interface Login {
  name?: string
  id?: string
  domain?: { id?: string; name?: string }
  password?: string
  /** Instead of a password. */
  token?: string
  scope?: unknown
}

export interface IdentityHouse {
  service: IdentityService
  server: TestServer
  directory: string
  /** Below /identity/v3, with `token` (an administrator's unless told). */
  ask(method: string, path: string, options?: Omit<TestRequest, 'as'> & { token?: string | null }): Promise<TestAnswer>
  login(who: Login): Promise<TestAnswer & { token: string }>
  /** The token of a login that must succeed. */
  token(who: Login): Promise<string>
  admin: string
  /** Creates one and answers it. */
  make(noun: string, fields: object): Promise<any>
  close(): Promise<void>
}

export const onProject = (name: string) => ({ project: { name, domain: { id: 'default' } } })

/** What the service works with, on a database in which there is nothing, with keys in `directory`. */
export const bareIdentity = (database: Database<IdentityTables>, directory: string): IdentityContext => ({
  database,
  keys: new KeyRing(directory),
  credentialKeys: new KeyRing(directory),
  bus: new MemoryBus(),
  log: silent(),
  region: 'RegionOne',
  tokenLifeMs: 3_600_000,
  compliance: NO_COMPLIANCE,
  validated: new Map(),
  changes: 0,
})

/** The real identity service behind the real edge, with what a cloud begins with. */
export async function identityHouse(options: Partial<IdentityOptions> = {}): Promise<IdentityHouse> {
  const directory = mkdtempSync(join(tmpdir(), 'yun-identity-'))
  const service = await createIdentity({
    databaseUrl: 'sqlite::memory:',
    log: silent(),
    bus: new MemoryBus(),
    region: 'RegionOne',
    keyDirectory: join(directory, 'keys'),
    credentialKeyDirectory: join(directory, 'credential-keys'),
    ...options,
  })
  const [adminPassword, demoPassword, servicePassword] = [PASSWORDS.admin, PASSWORDS.demo, PASSWORDS.service]
  await service.bootstrap({ adminPassword, demoPassword, servicePassword, publicUrl: URL, region: 'RegionOne' })
  const server = await testServer({ apis: service.api, authenticator: service.authenticator })
  const login: IdentityHouse['login'] = async ({ name, id, domain = { id: 'default' }, password = '', token, scope }) => {
    const identity = token
      ? { methods: ['token'], token: { id: token } }
      : { methods: ['password'], password: { user: { ...(id ? { id } : { name, domain }), password } } }
    const answer = await server.request('POST', '/identity/v3/auth/tokens', { as: null, body: { auth: { identity, scope } } })
    return { ...answer, token: String(answer.headers['x-subject-token'] ?? '') }
  }
  const token: IdentityHouse['token'] = async (who) => {
    const answer = await login(who)
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
    return answer.token
  }
  const house: IdentityHouse = {
    service,
    server,
    directory,
    login,
    token,
    admin: await token({ name: 'admin', password: PASSWORDS.admin, scope: onProject('admin') }),
    ask: (method, path, { token: as = house.admin, ...rest } = {}) => server.request(method, `/identity/v3${path}`, { as, ...rest }),
    async make(noun, fields) {
      const answer = await house.ask('POST', `/${noun}s`, { body: { [noun]: fields } })
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
      return answer.body[noun]
    },
    async close() {
      await server.close()
      await service.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
  return house
}
