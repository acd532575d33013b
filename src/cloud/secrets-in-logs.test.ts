import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { computeTopic, host } from '../compute/rpc.ts'
import { Yard } from '../compute/sagas/testing.ts'
import { createLog } from '../kernel/log/log.ts'
import { testCloud } from './testing.ts'

/** Everything that a user or a service keeps to itself is used, in what succeeds and in what fails, and the most talkative log knows none of it. */
test('no secret is in the log, whatever its level, not of what fails either', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-log-'))
  const file = join(directory, 'yun.log')
  const cloud = await testCloud({ log: createLog({ name: 'test', level: 'trace', file }) })
  const yard = await Yard.over(cloud)
  const { api, bus } = cloud
  const secrets: Record<string, string> = { 'token of the administrator': cloud.token }
  const keep = (what: string, secret: string) => {
    assert.ok(secret.length > 7, what)
    secrets[what] = secret
    return secret
  }
  const refused = (work: Promise<unknown>) => assert.rejects(work)
  const login = (auth: object) => api('POST', '/identity/v3/auth/tokens', { auth })
  const byPassword = (name: string, password: string) => ({
    identity: { methods: ['password'], password: { user: { name, domain: { id: 'default' }, password } } },
  })

  const password = keep('password', 'p-wp2j8xkq4')
  const { user } = await api('POST', '/identity/v3/users', { user: { name: 'somebody', domain_id: 'default', password } })
  await refused(login(byPassword('somebody', keep('password that is wrong', 'w-9dk2hf7aa'))))
  await refused(login(byPassword('nobody', keep('password of nobody', 'n-37fhs8sla'))))
  await login(byPassword('somebody', password))
  await api('POST', `/identity/v3/users/${user.id}/password`, {
    user: { original_password: password, password: keep('new password', 'q-83jdkqwe1') },
  })
  const [admin] = (await api('GET', '/identity/v3/users?name=admin')).users
  const secret = keep('secret of an application', 's-kq82jdnv3')
  const { application_credential: application } = await api('POST', `/identity/v3/users/${admin.id}/application_credentials`, {
    application_credential: { name: 'app', secret },
  })
  const withSecret = (value: string) => ({
    identity: { methods: ['application_credential'], application_credential: { id: application.id, secret: value } },
  })
  await login(withSecret(secret))
  await refused(login(withSecret(keep('secret that is wrong', 'x-82hdnqpl2'))))
  await refused(api('GET', '/compute/v2.1/servers', undefined, { 'x-auth-token': keep('token that is none', 'gAAAAABmade-up-token') }))

  await api('POST', '/identity/v3/credentials', {
    credential: { user_id: admin.id, type: 'totp', blob: keep('credential', 't-8dkq27fjs') },
  })
  const { projects } = await api('GET', '/identity/v3/auth/projects')
  const key = await api('POST', `/identity/v3/users/${admin.id}/credentials/OS-EC2`, { tenant_id: projects[0].id })
  keep('secret of an access key', key.credential.secret)

  const image = await api('POST', '/image/v2/images', { name: 'far', disk_format: 'raw', container_format: 'bare' })
  await refused(
    api('POST', `/image/v2/images/${image.id}/import`, {
      method: { name: 'web-download', uri: `http://me:${keep('password in an address', 'u-7shdkq28d')}@127.0.0.1/image` },
    }),
  )

  const server = (more: object) => ({
    server: {
      name: 'one',
      imageRef: yard.imageId,
      flavorRef: yard.flavorId,
      networks: [{ uuid: yard.networkId }],
      config_drive: true,
      user_data: Buffer.from(keep('user data', 'd-38fjwkq1z')).toString('base64'),
      personality: [{ path: '/secret', contents: Buffer.from(keep('file', 'f-2kdj38fnq')).toString('base64') }],
      ...more,
    },
  })
  const made = await api('POST', '/compute/v2.1/servers', server({ adminPass: keep('password of a server', 'a-83jfnqk2d') }))
  await yard.settled()
  const { id } = made.server
  const act = (body: object) => api('POST', `/compute/v2.1/servers/${id}/action`, body)
  await act({ changePassword: { adminPass: keep('changed password', 'c-28fjnqk1s') } }).catch(() => {})
  const { console: shown } = await act({ 'os-getVNCConsole': { type: 'novnc' } })
  keep('token of a console', /token(?:=|%3D)([\w-]+)/.exec(shown.url)![1]!)
  const volume = await yard.volume()
  await api('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: volume } })
  await yard.settled()
  const newest = { 'openstack-api-version': 'volume 3.70' }
  const [row] = (await api('GET', `/volume/v3/attachments?volume_id=${volume}`, undefined, newest)).attachments
  const { attachment } = await api('GET', `/volume/v3/attachments/${row.id}`, undefined, newest)
  keep('password of a target', attachment.connection_info.auth_password)

  // a host that cannot, with a password on the way to it
  bus.serve(computeTopic('node1'), host.injectFiles, () => {
    throw new Error('the disk is on fire')
  })
  await api('POST', '/compute/v2.1/servers', server({ adminPass: keep('password of a server that fails', 'b-29fkqmw3z') }))
  await yard.settled()
  Object.assign(secrets, cloud.secrets)
  await cloud.stop()

  const log = readFileSync(file, 'utf8')
  rmSync(directory, { recursive: true })
  assert.match(log, /the disk is on fire/)
  for (const [what, value] of Object.entries(secrets)) {
    assert.ok(!log.includes(value), `${what} is in the log`)
    assert.ok(!log.includes(Buffer.from(value).toString('base64').replace(/=+$/, '').slice(0, -1)), `${what} is in the log, in base64`)
  }
})
