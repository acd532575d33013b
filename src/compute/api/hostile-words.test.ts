import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseXml } from '../../drivers/libvirt/xml.ts'
import { remembered } from '../../drivers/remembered.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

const WORDS = [
  '-rf',
  '--conf-file=/etc/shadow',
  'a\nport=53',
  'a\r\nb',
  'a\u0000b',
  '$(id)',
  '`id`',
  'a;id',
  'a|id&',
  '%s%n',
  '../../etc/passwd',
  `a' or '1'='1`,
  'a"b',
  'a\\b',
  '</name><os/>',
  ']]><!--',
  '<![CDATA[x]]>',
  '&lt;&#0;',
  '{{x}}',
  '\u202etxt',
  '\uff0d\uff0drf',
  '\u{1f4a9}',
  'e\u0301',
  '\ufffe',
  'a,b',
  'x'.repeat(255),
]
/** What a twin remembers of the machine. */
const twin = (name: string): any => remembered<any>(join(house.yard.cloud.stateDir, 'simulated', 'node1', `${name}.json`), null).state

test('whatever a server and what belongs to it are called, it runs, and its domain is of the same make', async () => {
  const quota = { security_group: -1, security_group_rule: -1 }
  await house.request('PUT', `/network/v2.0/quotas/${house.alpha}`, { body: { quota }, as: 'admin' })
  const shapes = new Set<string>()
  for (const word of ['usual', ...WORDS]) {
    const post = async (path: string, body: object) => house.request('POST', path, { body })
    const group = await post('/network/v2.0/security-groups', { security_group: { name: word, description: word } })
    assert.equal(group.status, 201, word)
    const rule = { security_group_id: group.body.security_group.id, direction: 'ingress', protocol: 'tcp', description: word }
    assert.equal((await post('/network/v2.0/security-group-rules', { security_group_rule: rule })).status, 201)
    const key = await house.ask('POST', '/os-keypairs', { body: { keypair: { name: word } }, at: '2.1' })
    assert.ok([200, 400].includes(key.status), `${word}: ${key.status} ${key.message}`)
    const name = /\p{Cc}/u.test(word) ? 'one' : word
    const own = {
      name,
      description: word,
      metadata: { a: word },
      tags: [word.replaceAll(/[,/]/g, '').slice(0, 60)],
      user_data: Buffer.from(word).toString('base64'),
      config_drive: true,
      security_groups: [{ name: group.body.security_group.id }],
      ...(key.status === 200 ? { key_name: word } : {}),
    }
    const answer = await house.ask('POST', '/servers', { body: house.wish(own), at: '2.52' })
    assert.equal(answer.status, 202, `${word}: ${answer.message}`)
    const server = await house.rested(answer.body.server.id)
    assert.equal(server.status, 'ACTIVE', `${word}: ${server.fault?.message}`)
    assert.deepEqual([server.name, server.description], [name, word])
    shapes.add(JSON.stringify(make(parseXml(twin('libvirt').domains[server.id].definition))))
    await house.remove(server.id)
    await house.ask('DELETE', `/os-keypairs/${encodeURIComponent(word)}`)
  }
  assert.equal(shapes.size, 1)
})

/** Elements and attributes, without what they hold. */
const make = ({ name, attributes, children }: ReturnType<typeof parseXml>): unknown => [name, Object.keys(attributes), children.map(make)]

test("whatever a network's owner says of names and DHCP, the network is served, and each of its ports", async () => {
  const as = 'admin'
  const post = (path: string, body: object) => house.request('POST', `/network/v2.0/${path}`, { body, as })
  const quota = { network: -1, subnet: -1, port: -1 }
  const { project } = (await house.request('GET', '/identity/v3/auth/tokens', { as, headers: { 'x-subject-token': house.token('admin') } }))
    .body.token
  await house.request('PUT', `/network/v2.0/quotas/${project.id}`, { body: { quota }, as })
  const served = new Map<string, string[]>()
  const statuses: number[] = []
  const right = ['example.org', 'example.org.', 'a-b.c1', '']
  for (const word of [...right, ...WORDS, 'a b', '.', 'a..b', '-a.b', 'a_b', `${'a'.repeat(64)}.b`, 'ä.example']) {
    const { status, body } = await post('networks', { network: { name: word, description: word, dns_domain: word } })
    assert.equal(status, right.includes(word) ? 201 : 400, word)
    if (status !== 201) continue
    const { id } = body.network
    await post('subnets', { subnet: { network_id: id, ip_version: 4, cidr: '10.66.0.0/20' } })
    const refused = await house.request('PUT', `/network/v2.0/networks/${id}`, { body: { network: { dns_domain: '-x\ny' } }, as })
    assert.equal(refused.status, 400)
    served.set(id, [])
    for (const each of WORDS)
      for (const port of [
        { name: each, description: each, device_id: each, device_owner: each },
        { dns_name: each },
        { extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: each }] },
        { extra_dhcp_opts: [{ opt_name: each, opt_value: 'x' }] },
        { 'binding:profile': { [each]: each } },
      ]) {
        const answer = await post('ports', { port: { network_id: id, ...port } })
        assert.ok([201, 400].includes(answer.status), `${JSON.stringify(port)}: ${answer.status} ${answer.message}`)
        statuses.push(answer.status)
        if (answer.status === 201) served.get(id)!.push(answer.body.port.mac_address)
      }
  }
  for (const status of [201, 400]) assert.ok(statuses.filter((one) => one === status).length > 100, `${statuses}`)
  await eventually(
    async () => twin('dnsmasq').servers,
    (servers: Record<string, { files: { host: string } }>) =>
      [...served].every(([id, macs]) => {
        const lines = servers[id]?.files.host.split('\n') ?? []
        return macs.every((mac) => lines.some((line) => line.startsWith(`${mac},`)))
      }),
  )
})
