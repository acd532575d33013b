import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { unauthorized } from '../errors/errors.ts'
import { createLog, silent } from '../log/log.ts'
import type { Api } from './api.ts'
import type { Authenticator, Credentials } from './context.ts'
import { ApiServer } from './server.ts'

export const DEMO = 'd0000000000000000000000000000001'
export const OTHER = 'd0000000000000000000000000000002'

const person = (n: number, name: string, project: string, roles: string[]): Credentials => ({
  userId: `u000000000000000000000000000000${n}`,
  userName: name,
  userDomainId: 'default',
  projectId: project,
  projectName: project === DEMO ? 'demo' : 'other',
  projectDomainId: 'default',
  domainId: null,
  systemScope: false,
  roles,
  isAdmin: roles.includes('admin'),
  auditIds: [`audit-${name}`],
  methods: ['password'],
  tokenKind: 'fernet',
  issuedAt: '2026-01-01T00:00:00.000000Z',
  expiresAt: '2036-01-01T00:00:00.000000Z',
})

export const people: Record<string, Credentials> = {
  admin: person(1, 'admin', DEMO, ['admin', 'member', 'reader']),
  member: person(2, 'member', DEMO, ['member', 'reader']),
  reader: person(3, 'reader', DEMO, ['reader']),
  other: person(4, 'other', OTHER, ['member', 'reader']),
  service: person(5, 'service', DEMO, ['admin', 'service']),
}

/** Tokens are people's names. */
export const fakeAuthenticator: Authenticator = {
  async validate(token) {
    const credentials = people[token]
    if (!credentials) throw unauthorized()
    return { credentials, cached: false }
  },
  peek: (token) => people[token]?.userId ?? null,
}

export interface TestRequest {
  as?: keyof typeof people | null
  body?: unknown
  /** Sent as it is, to try malformed documents. */
  text?: string | Buffer
  headers?: Record<string, string>
  query?: Record<string, string>
}

export interface TestAnswer {
  status: number
  body: any
  headers: Record<string, string | string[] | number | undefined>
}

export interface TestServer {
  server: ApiServer
  request(method: string, path: string, options?: TestRequest): Promise<TestAnswer>
  close(): Promise<void>
}

/** The given APIs behind the real edge, with people as tokens and every answer checked against its schema. Asks as `admin` unless told. */
export async function testServer(options: { apis: Api[]; authenticator?: Authenticator }): Promise<TestServer> {
  const server = new ApiServer({
    log: process.env.YUN_TEST_LOG ? createLog({ name: 'test', level: 'warn' }) : silent(),
    authenticator: options.authenticator ?? fakeAuthenticator,
    checkResponses: true,
    publicUrl: 'http://127.0.0.1:5000',
  })
  for (const api of options.apis) server.mount(api)
  await server.fastify.ready()
  return {
    server,
    async request(method, path, { as = 'admin', body, text, headers = {}, query } = {}) {
      const answer = await server.fastify.inject({
        method: method as 'GET',
        url: path,
        query,
        headers: {
          ...(as ? { 'x-auth-token': as } : {}),
          ...(body !== undefined ? { 'content-type': 'application/json' } : {}),
          ...headers,
        },
        payload: text ?? (body === undefined ? undefined : JSON.stringify(body)),
      })
      return { status: answer.statusCode, body: answer.payload ? tryJson(answer.payload) : undefined, headers: answer.headers }
    },
    close: () => server.close(),
  }
}

/** Every route that asks for a policy rule refuses a caller without a token, and knows its rule. */
export function refusalTests(make: () => Promise<Api[]>): void {
  describe('refusals', () => {
    test('every guarded route answers 401 without a token and names a rule that exists', async () => {
      const apis = await make()
      const { request, close } = await testServer({ apis: apis.map((api) => ({ ...api, limiter: undefined })) })
      let guarded = 0
      for (const api of apis)
        for (const route of api.routes) {
          assert.ok(route.doc.length > 3, `${route.method} ${route.path} has no line of documentation`)
          if (typeof route.policy !== 'string') continue
          guarded++
          assert.ok(api.policy.names().includes(route.policy), `${route.method} ${route.path}: no rule ${route.policy}`)
          const path = `${api.prefix}${route.path === '/' ? '' : route.path}`.replace(/:\w+/g, '0')
          const { status } = await request(route.method, path, { as: null })
          assert.equal(status, 401, `${route.method} ${path}`)
        }
      assert.ok(guarded > 0)
      await close()
    })
  })
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
